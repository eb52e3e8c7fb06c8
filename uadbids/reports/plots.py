"""Plots of a page: drawn by matplotlib, the same figures as the same bytes, without a network."""

import io
import re
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from uadbids.bids.files import write_bytes

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "uadbids",
    "font.family": "sans-serif",
    "font.size": 10,
}
# Distinguishable without colour vision, and on paper by their dashes (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")


def save_svg(figure: Figure, out: Path) -> Path:
    """Write a figure that was drawn, and is still, under `STYLE` as SVG.

    Dates and the name of the program that drew it, a link to the network, are left out.
    """
    FigureCanvasSVG(figure)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", stream.getvalue(), flags=re.DOTALL)
    write_bytes(out, text.encode())
    return out
