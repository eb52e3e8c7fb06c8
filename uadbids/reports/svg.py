"""A sheet of image panels as one SVG file whose unit is the millimetre of the scan.

Written by hand rather than by a plotting library: photographs of slices compress eight times
better as JPEG than as the PNG those libraries embed, the size of a voxel is the size on the sheet
(a 5 cm bar is 50 units long), and the same input gives the same bytes.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
UNDER, MAP = "under", "map"
"""Fragments of a figure's address: ``figure.svg#under`` hides what lies over the panels, and
``figure.svg#map`` shows the map, which is hidden else."""
_STYLE = (
    "text{font-family:'Helvetica Neue',Arial,'DejaVu Sans',sans-serif;fill:#e8e8e8}"
    ".on{paint-order:stroke;stroke:#000;stroke-width:.15em;stroke-linejoin:round}"
    ".cap{font-weight:600;fill:#fff}path{fill:none;stroke-linejoin:round;stroke-linecap:round}"
    ".no{font-weight:700;font-size:1.1em;paint-order:stroke;stroke:#000;stroke-width:.25em;"
    "stroke-linejoin:round}"
    f".map{{display:none}}#{MAP}:target~.map{{display:inline}}#{UNDER}:target~.over{{display:none}}"
)


@dataclass(frozen=True)
class Outline:
    """A closed or open line set over a panel."""

    d: str  # SVG path in mm from the panel's top left corner
    colour: str
    width: float = 0.8
    dash: tuple[float, ...] = ()  # pattern of a line that is not solid, in its widths
    halo: bool = False  # whether there is a dark line below it

    def svg(self) -> str:
        """Return the path or paths."""
        if not self.d:
            return ""
        lengths = " ".join(f"{part * self.width:g}" for part in self.dash)
        dashes = f' stroke-dasharray="{lengths}"' if lengths else ""
        line = f'<path stroke="{self.colour}" stroke-width="{self.width:g}"{dashes} d="{self.d}"/>'
        below = f'<path stroke="#000" stroke-width="{2 * self.width:g}" d="{self.d}"/>'
        return below + line if self.halo else line


@dataclass(frozen=True)
class Mark:
    """A number beside an outline; its left end stands at (x, y) mm."""

    text: str
    colour: str
    x: float
    y: float

    def svg(self) -> str:
        """Return the text."""
        place = f'x="{self.x:.1f}" y="{self.y:.1f}" class="no" style="fill:{self.colour}"'
        return f"<text {place}>{escape(self.text)}</text>"


@dataclass(frozen=True)
class Panel:
    """One picture (of `jpeg` or `png`) over width x height mm; clear without one."""

    picture: str
    width: float
    height: float
    label: str = ""
    edges: tuple[str, str] = ("", "")
    drawn: tuple[Outline | Mark, ...] = ()


@dataclass(frozen=True)
class Row:
    """Panels side by side under one caption, and others of the same sizes that lie over them.

    Those in `map` are between the two, and hidden until they are asked for.
    """

    caption: str
    panels: tuple[Panel, ...]
    over: tuple[Panel, ...] = ()
    map: tuple[Panel, ...] = ()


class Key(NamedTuple):
    """What a line means."""

    colour: str
    text: str
    dash: tuple[float, ...] = ()


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
    keys: tuple[Key, ...] = ()
    note: str = ""


def anomaly_colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours of values in [0, 1], shape (..., 3); the near-black start of the map is left out."""
    from matplotlib import colormaps  # not for the process that only hands scans on

    rgba = colormaps[COLOUR_MAP](0.15 + 0.85 * np.clip(values, 0, 1), bytes=True)
    return np.asarray(rgba[..., :3], dtype=np.uint8)


def write_sheet(sheet: Sheet, out: Path) -> Path:
    """Write a figure as SVG, by a temporary name in the same folder, and return its path.

    Deterministic: neither dates nor random identifiers. Text stays text.
    """
    widths = [[panel.width for panel in row.panels] for row in sheet.rows]
    width = max(sum(row) + GAP * (len(row) - 1) for row in widths) + 2 * GAP
    em = width * TEXT_SHARE
    top = GAP
    body: list[str] = []
    layers: dict[str, list[str]] = {MAP: [], "over": []}
    for row in sheet.rows:
        if row.caption:
            body.append(_text(GAP, top + em, row.caption, "cap"))
            top += 1.5 * em
        body += _draw_panels(row.panels, top, em)
        layers["over"] += _draw_panels(row.over, top, em)
        layers[MAP] += _draw_panels(row.map, top, em)
        top += max(panel.height for panel in row.panels) + GAP
    for name, drawn in layers.items():
        if drawn:
            target = UNDER if name == "over" else name
            body += [f'<g id="{target}"/><g class="{name}">', *drawn, "</g>"]
    lines, height = _draw_footer(sheet, top, em)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" font-size="{em:.2f}">'
        f"<title>{escape(sheet.title)}</title><style>{_STYLE}</style>"
        '<rect width="100%" height="100%" fill="#000"/>'
    )
    write_bytes(out, "\n".join([head, *body, *lines, "</svg>\n"]).encode())
    return out


def write_panel(panel: Panel, out: Path) -> Path:
    """Write one panel alone, without its labels."""
    bare = replace(panel, label="", edges=("", ""))
    size = f'viewBox="0 0 {panel.width:.1f} {panel.height:.1f}"'
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-size="{panel.width / 16:.1f}">'
        f"<style>{_STYLE}</style>{_draw_panel(bare, 0, 0, 1)}</svg>\n"
    )
    write_bytes(out, text.encode())
    return out


def _draw_panels(panels: Sequence[Panel], top: float, em: float) -> list[str]:
    lines, left = [], GAP
    for panel in panels:
        lines.append(_draw_panel(panel, left, top, em))
        left += panel.width + GAP
    return lines


def _draw_panel(panel: Panel, left: float, top: float, em: float) -> str:
    middle = panel.height / 2 + em / 3
    texts = (
        (2, middle, panel.edges[0], "start"),
        (panel.width - 2, middle, panel.edges[1], "end"),
        (2, panel.height - 3, panel.label, "start"),
    )
    parts = [_text(x, y, text, "on", anchor=anchor) for x, y, text, anchor in texts if text]
    parts += [line.svg() for line in panel.drawn]
    if panel.picture:
        size = f'width="{panel.width:.1f}" height="{panel.height:.1f}"'
        parts.insert(0, f'<image {size} preserveAspectRatio="none" href="{panel.picture}"/>')
    return f'<g transform="translate({left:.1f} {top:.1f})">{"".join(parts)}</g>'


def jpeg(pixels: NDArray[np.uint8]) -> str:
    """Return uint8 pixels, (rows, columns) or (rows, columns, 3), as a data address."""
    return _address(Image.fromarray(pixels), "JPEG", quality=JPEG_QUALITY, subsampling=0)


def png(shades: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return numbers of colours, (rows, columns), as a data address.

    The palette holds red, green, blue and opacity of each, (N, 4).
    """
    image = Image.fromarray(shades).convert("P")
    image.putpalette(palette[:, :3].tobytes())
    return _address(image, "PNG", transparency=palette[:, 3].tobytes(), bits=8)


def _address(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"


def _text(x: float, y: float, text: str, style: str = "", *, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"


def _draw_footer(sheet: Sheet, top: float, em: float) -> tuple[list[str], float]:
    """Scale bar and line keys, then the colour bar, then the note, a line each."""
    base = top + 1.4 * em
    lines = [
        f'<path stroke="#fff" stroke-width="2" d="M{GAP} {base - em / 3:.1f}h{SCALE_BAR_MM}"/>',
        _text(GAP + SCALE_BAR_MM + em / 2, base, f"{SCALE_BAR_MM // 10} cm"),
    ]
    left = GAP + SCALE_BAR_MM + 5 * em
    for key in sheet.keys:
        line = f"M{left:.1f} {base - em / 3:.1f}h{2 * em:.1f}"
        lines.append(Outline(line, key.colour, em / 4, key.dash).svg())
        lines.append(_text(left + 2.5 * em, base, key.text))
        # Half of its height per letter is enough for a text to keep keys apart.
        left += 4.5 * em + 0.52 * em * len(key.text)
    if sheet.colour_bar:
        base += 1.7 * em
        lines += _draw_colour_bar(sheet.colour_bar, GAP, base, em)
    base += 1.7 * em
    return [*lines, _text(GAP, base, sheet.note)], base + em


def _draw_colour_bar(bar: ColourBar, left: float, base: float, em: float) -> list[str]:
    start = left + em
    shades = anomaly_colours(np.linspace(0, 1, 64)[None])
    lines = [
        _text(left, base, "0"),
        f'<image x="{start:.1f}" y="{base - 0.85 * em:.1f}" width="{COLOUR_BAR_MM}" '
        f'height="{0.85 * em:.1f}" preserveAspectRatio="none" href="{jpeg(shades)}"/>',
        _text(start + COLOUR_BAR_MM + em / 3, base, bar.text),
    ]
    if bar.threshold is not None and 0 < bar.threshold < bar.maximum:
        place = start + COLOUR_BAR_MM * bar.threshold / bar.maximum
        lines.append(
            f'<path stroke="#fff" stroke-width="1.5" '
            f'd="M{place:.1f} {base - 1.1 * em:.1f}v{1.4 * em:.1f}"/>'
        )
    return lines
