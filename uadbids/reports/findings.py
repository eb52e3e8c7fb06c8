"""How findings are drawn: numbered as in the table, each tag with a line of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uadbids.bids.labels import TAG_COLOURS
from uadbids.reports.outlines import mask_outline
from uadbids.reports.panels import Canvas, Tracer
from uadbids.reports.slices import cut
from uadbids.reports.svg import Key, Mark, Outline

# Space for a number, in mm for each letter and line, beside an outline of this width.
_LETTER, _LINE = 5.5, 9.0
_WIDTH = 1.2


@dataclass(frozen=True)
class TagStyle:
    """How findings of one tag look, so that no reader depends on the colour."""

    words: str  # in the key
    colour: str
    after: str = ""  # stands behind the number
    dash: tuple[float, ...] = ()  # pattern of the line, in its widths


TAG_STYLES: Mapping[str, TagStyle] = {
    "likely": TagStyle("likely", "#ff5674"),
    "check": TagStyle("check", TAG_COLOURS["check"], "?", (2.2, 1.8)),
    "likely-artefact": TagStyle("likely artefact", "#c3ccd6", "×", (0.1, 1.9)),
}  # fmt: skip
"""By the tag: colours of `labels.TAG_COLOURS`, lightened where a dark picture asks for it."""
UNTAGGED = TagStyle("finding", "#00e5ff")


def style_of(row: Mapping[str, Any]) -> TagStyle:
    """Return how a row of the table of findings is drawn."""
    return TAG_STYLES.get(str(row.get("tag")), UNTAGGED)


def keys(rows: Sequence[Mapping[str, Any]]) -> tuple[Key, ...]:
    """Explain the lines of the tags that occur."""
    styles = dict.fromkeys(style_of(row) for row in rows) or {UNTAGGED: None}
    ordered = [style for style in (*TAG_STYLES.values(), UNTAGGED) if style in styles]
    return tuple(Key(s.colour, f"{s.words} (1{s.after})", s.dash) for s in ordered)


def trace_findings(
    canvas: Canvas, labels: NDArray[np.integer], rows: Sequence[Mapping[str, Any]]
) -> Tracer:
    """Outline each finding and number it.

    `labels` are numbers of findings on the canvas's grid (0 is background), `rows` those of the
    table of findings: ``index`` and ``tag``.
    """
    styles = {int(row["index"]): style_of(row) for row in rows if "index" in row}

    def lines(axis: int, index: int) -> list[Outline | Mark]:
        plane = np.asarray(cut(labels, axis, index, canvas.box), dtype=np.int64)
        found, areas = np.unique(plane[plane > 0], return_counts=True)
        drawn: list[Outline | Mark] = []
        taken: list[tuple[float, float, float, float]] = []
        for number in found[np.argsort(-areas, kind="stable")]:
            style = styles.get(int(number), UNTAGGED)
            mask = plane == number
            rows_, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            top, left = int(rows_[0]), int(columns[0])
            part = mask[top : rows_[-1] + 1, left : columns[-1] + 1]
            across, down = canvas.spacing(axis)
            corner = left * across, top * down
            path = mask_outline(part, (across, down), corner)
            drawn.append(Outline(path, style.colour, _WIDTH, style.dash, halo=True))
            text = f"{number}{style.after}"
            size = part.shape[1] * across, part.shape[0] * down
            place = _free_place(text, corner, size, canvas.size(axis), taken)
            drawn.append(Mark(text, style.colour, *place))
        # Numbers above all lines.
        return sorted(drawn, key=lambda line: isinstance(line, Mark))

    return lines


def _free_place(
    text: str,
    corner: tuple[float, float],
    size: tuple[float, float],
    picture: tuple[float, float],
    taken: list[tuple[float, float, float, float]],
) -> tuple[float, float]:
    """Find a place beside an outline that no other number has; it is taken then."""
    width, (left, top) = _LETTER * len(text), corner
    right, bottom = left + size[0], top + size[1]
    places = [
        (x, y)
        for y in (top, bottom + _LINE, top - _LINE, bottom + 2 * _LINE)
        for x in (right + 1, left - width - 1)
    ]
    inside = [
        (x, y) for x, y in places if x >= 0 and x + width <= picture[0] and _LINE <= y <= picture[1]
    ] or places
    free = [
        (x, y)
        for x, y in inside
        if all(x + width < a or x > a + w or y - _LINE > b or y < b - h for a, b, w, h in taken)
    ]
    place = (free or inside)[0]
    taken.append((*place, width, _LINE))
    return place
