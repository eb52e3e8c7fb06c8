"""A sheet of image panels as one SVG file whose unit is the millimetre of the scan.

Written by hand rather than by a plotting library: photographs of slices compress eight times
better as JPEG than as the PNG those libraries embed, the size of a voxel is the size on the sheet
(a 5 cm bar is 50 units long), and the same input gives the same bytes.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from contourpy import contour_generator
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from uadbids.bids.files import write_bytes

GAP = 4.0
# A sheet is shown as wide as the page: text is a fixed share of its width, hence always legible.
TEXT_SHARE = 1 / 85
SCALE_BAR_MM = 50
COLOUR_BAR_MM = 100
JPEG_QUALITY = 85
COLOUR_MAP = "inferno"
UNDER = "under"
"""Fragment of a figure's address that hides what lies over the panels: ``figure.svg#under``."""
_STYLE = (
    "text{font-family:'Helvetica Neue',Arial,'DejaVu Sans',sans-serif;fill:#e8e8e8}"
    ".on{paint-order:stroke;stroke:#000;stroke-width:.15em;stroke-linejoin:round}"
    ".cap{font-weight:600;fill:#fff}path{fill:none;stroke-linejoin:round}"
    f"#{UNDER}:target~.over{{display:none}}"
)


@dataclass(frozen=True)
class Outline:
    """A closed or open line set over a panel; `d` is an SVG path in mm from its top left corner."""

    d: str
    colour: str
    width: float = 0.8
    dashes: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture: uint8 pixels (rows, columns) or (rows, columns, 3) over width x height mm.

    Without pixels it is clear: outlines to lie over another panel.
    """

    pixels: NDArray[np.uint8] | None
    width: float
    height: float
    label: str = ""
    edges: tuple[str, str] = ("", "")
    outlines: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class Row:
    """Panels side by side under one caption, and others of the same sizes that lie over them."""

    caption: str
    panels: tuple[Panel, ...]
    over: tuple[Panel, ...] = ()


@dataclass(frozen=True)
class ColourBar:
    """Key of the anomaly colours: from 0 to `maximum`, with a line at the threshold, if any."""

    label: str
    maximum: float
    threshold: float | None = None

    @property
    def text(self) -> str:
        """What stands right of the bar, beginning with the value at its end."""
        line = f" (white line: threshold {self.threshold:.3g})" if self.threshold else ""
        return f"{self.maximum:.2g}  {self.label}{line}"


@dataclass(frozen=True)
class Sheet:
    """A whole figure."""

    title: str
    rows: tuple[Row, ...]
    colour_bar: ColourBar | None = None
    keys: tuple[tuple[str, str], ...] = field(default=())
    note: str = ""


def anomaly_colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours of values in [0, 1], shape (..., 3); the near-black start of the map is left out."""
    rgba = colormaps[COLOUR_MAP](0.15 + 0.85 * np.clip(values, 0, 1), bytes=True)
    return np.asarray(rgba[..., :3], dtype=np.uint8)


def mask_outline(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> str:
    """Border of a mask along its pixel edges, as SVG path data in mm.

    Doubling the pixels puts the half-level line on the true edge, so even a single voxel keeps its
    size; a frame of zeros closes lines at the picture's border.
    """
    doubled = np.pad(np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1), 1).astype(float)
    return level_outline(doubled, 0.5, (spacing[0] / 2, spacing[1] / 2), offset=-0.5)


def level_outline(
    picture: NDArray[np.floating],
    level: float,
    spacing: tuple[float, float],
    *,
    offset: float = 0.5,
    min_points: int = 3,
) -> str:
    """Lines of equal value in a picture, as SVG path data in mm; short ones are left out."""
    lines = contour_generator(z=picture).lines(level)
    scale = np.array(spacing)
    return "".join(
        _path((np.asarray(line) + offset) * scale) for line in lines if len(line) >= min_points
    )


def _path(points: NDArray[np.floating]) -> str:
    """Relative path with a tenth of a millimetre per step; runs in one direction are merged."""
    tenths = np.round(points * 10).astype(int)
    steps = np.diff(tenths, axis=0)
    steps = steps[np.any(steps != 0, axis=1)]
    if not len(steps):
        return ""
    # Cross product 0 and dot product > 0: same direction as the step before.
    cross = steps[1:, 0] * steps[:-1, 1] - steps[1:, 1] * steps[:-1, 0]
    turn = np.concatenate([[True], (cross != 0) | (np.sum(steps[1:] * steps[:-1], axis=1) < 0)])
    merged = np.add.reduceat(steps, np.flatnonzero(turn), axis=0) / 10
    x, y = tenths[0] / 10
    return f"M{x:g} {y:g}l" + " ".join(f"{dx:g} {dy:g}" for dx, dy in merged)


def write_sheet(sheet: Sheet, out: Path) -> Path:
    """Write a figure as SVG, by a temporary name in the same folder, and return its path.

    Deterministic: neither dates nor random identifiers. Text stays text.
    """
    widths = [[panel.width for panel in row.panels] for row in sheet.rows]
    width = max(sum(row) + GAP * (len(row) - 1) for row in widths) + 2 * GAP
    em = width * TEXT_SHARE
    top = GAP
    body: list[str] = []
    over: list[str] = []
    for row in sheet.rows:
        if row.caption:
            body.append(_text(GAP, top + em, row.caption, "cap"))
            top += 1.5 * em
        body += _draw_panels(row.panels, top, em)
        over += _draw_panels(row.over, top, em)
        top += max(panel.height for panel in row.panels) + GAP
    if over:
        body += [f'<g id="{UNDER}"/><g class="over">', *over, "</g>"]
    lines, height = _draw_footer(sheet, top, em)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" font-size="{em:.2f}">'
        f"<title>{escape(sheet.title)}</title><style>{_STYLE}</style>"
        '<rect width="100%" height="100%" fill="#000"/>'
    )
    write_bytes(out, "\n".join([head, *body, *lines, "</svg>\n"]).encode())
    return out


def _draw_panels(panels: Sequence[Panel], top: float, em: float) -> list[str]:
    lines, left = [], GAP
    for panel in panels:
        lines.append(_draw_panel(panel, left, top, em))
        left += panel.width + GAP
    return lines


def _draw_panel(panel: Panel, left: float, top: float, em: float) -> str:
    middle = panel.height / 2 + em / 3
    picture = (
        ""
        if panel.pixels is None
        else f'<image width="{panel.width:.1f}" height="{panel.height:.1f}" '
        f'preserveAspectRatio="none" href="{_jpeg(panel.pixels)}"/>'
    )
    parts = [
        f'<g transform="translate({left:.1f} {top:.1f})">',
        picture,
        *(
            f'<path stroke="{line.colour}" stroke-width="{line.width:g}"{_dashed(line)} '
            f'd="{line.d}"/>'
            for line in panel.outlines
            if line.d
        ),
        _text(2, middle, panel.edges[0], "on"),
        _text(panel.width - 2, middle, panel.edges[1], "on", anchor="end"),
        _text(2, panel.height - 3, panel.label, "on"),
        "</g>",
    ]
    return "".join(parts)


def _dashed(line: Outline) -> str:
    return f' stroke-dasharray="{line.dashes}"' if line.dashes else ""


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    """Pixels as a data address that can stand inside the SVG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _text(x: float, y: float, text: str, style: str = "", *, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"


def _draw_footer(sheet: Sheet, top: float, em: float) -> tuple[list[str], float]:
    """Scale bar, colour bar and line keys on one line, the note on the next."""
    base = top + 1.4 * em
    lines = [
        f'<path stroke="#fff" stroke-width="2" d="M{GAP} {base - em / 3:.1f}h{SCALE_BAR_MM}"/>',
        _text(GAP + SCALE_BAR_MM + em / 2, base, f"{SCALE_BAR_MM // 10} cm"),
    ]
    left = GAP + SCALE_BAR_MM + 5 * em
    if sheet.colour_bar:
        lines += _draw_colour_bar(sheet.colour_bar, left, base, em)
        left += COLOUR_BAR_MM + 3 * em + _text_width(sheet.colour_bar.text, em)
    for colour, text in sheet.keys:
        stroke = f'stroke="{colour}" stroke-width="2"'
        lines.append(f'<path {stroke} d="M{left:.1f} {base - em / 3:.1f}h{1.5 * em:.1f}"/>')
        lines.append(_text(left + 2 * em, base, text))
        left += 4 * em + _text_width(text, em)
    base += 1.7 * em
    return [*lines, _text(GAP, base, sheet.note)], base + em


def _text_width(text: str, em: float) -> float:
    """Rough width of a text: half its height per letter is enough to keep keys apart."""
    return 0.52 * em * len(text)


def _draw_colour_bar(bar: ColourBar, left: float, base: float, em: float) -> list[str]:
    start = left + em
    shades = anomaly_colours(np.linspace(0, 1, 64)[None])
    lines = [
        _text(left, base, "0"),
        f'<image x="{start:.1f}" y="{base - 0.85 * em:.1f}" width="{COLOUR_BAR_MM}" '
        f'height="{0.85 * em:.1f}" preserveAspectRatio="none" href="{_jpeg(shades)}"/>',
        _text(start + COLOUR_BAR_MM + em / 3, base, bar.text),
    ]
    if bar.threshold is not None and 0 < bar.threshold < bar.maximum:
        place = start + COLOUR_BAR_MM * bar.threshold / bar.maximum
        lines.append(
            f'<path stroke="#fff" stroke-width="1.5" '
            f'd="M{place:.1f} {base - 1.1 * em:.1f}v{1.4 * em:.1f}"/>'
        )
    return lines
