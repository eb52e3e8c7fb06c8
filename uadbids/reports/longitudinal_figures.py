"""Pictures of the sessions of one participant: the same slices, what has changed outlined."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uadbids.reports.mosaic import CONVENTION
from uadbids.reports.outlines import mask_outline
from uadbids.reports.panels import Canvas, Tracer, grey, panels, window
from uadbids.reports.scene import MIN_GAP_MM
from uadbids.reports.slices import (
    AXIAL,
    BoolArray,
    bounding_box,
    choose_slices,
    cut,
    load_like,
    load_volume,
)
from uadbids.reports.svg import Key, Outline, Row, Sheet, write_sheet

COLUMNS, ROWS = 4, 3
# Slices with less brain than this, of the largest, show its poles.
_POLE = 0.4
UNKNOWN = "n/a"
ABSENT = (0.1, 1.9)
# Colour, width and dashes: statuses stay apart in grey, and for any colour vision.
STYLES: Mapping[str, tuple[str, float, tuple[float, ...]]] = {
    "new": ("#ffe14d", 1.6, ()),
    "enlarging": ("#ff9b3d", 1.6, (2.2, 1.8)),
    "stable": ("#00c8e0", 0.6, ()),
    "shrinking": ("#c79bff", 1.0, (2.2, 1.8)),
    "gone": ("#ffffff", 1.0, ()),
    UNKNOWN: ("#9aa4b0", 0.6, ()),
}
"""How each status is drawn, in the order of importance."""


def last_status(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Status of each family by its number, between the sessions farthest apart."""
    return {int(row["index"]): str(row["status"] or UNKNOWN) for row in rows}


def draw_sessions(
    names: Sequence[str],
    volumes: Sequence[Path],
    families: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
) -> list[Path]:
    """Draw one sheet a session: the same slices at the same places, in one grey scale.

    Parameters
    ----------
    names : sequence of str
        Of the sessions.
    volumes, families : sequence of Path
        Sessions and numbers of the families in each, on one grid.
    rows : sequence of mapping
        Rows of the table of the comparison; the last of a family gives its colour.
    folder : Path
        Where to write ``<name>.svg``.
    """
    scans = [load_volume(path) for path in volumes]
    labels = [load_like(path, scans[0]).data.astype(np.int32) for path in families]
    brain = np.logical_or.reduce([scan.data > 0 for scan in scans])
    box = bounding_box(brain, scans[0].spacing, margin_mm=4)
    status = last_status(rows)
    everywhere = np.maximum.reduce(labels)
    changed = np.isin(everywhere, [number for number, s in status.items() if s != "stable"])
    shown = changed if changed.any() else everywhere > 0
    gap = math.ceil(MIN_GAP_MM / scans[0].spacing[AXIAL])
    slices = choose_slices(shown, AXIAL, _worth_showing(brain), ROWS * COLUMNS, gap=gap)
    greys = window(np.maximum.reduce([scan.data for scan in scans]), brain)
    written = []
    for name, scan, found in zip(names, scans, labels, strict=True):
        canvas = Canvas(scan, box)
        plain = grey(canvas.plane(), greys)
        outlines = []
        for kind, (colour, width, dashes) in STYLES.items():
            numbers = [number for number, s in status.items() if s == kind]
            here = np.isin(found, numbers) & (found > 0)
            # Where it is not: the same place, dotted.
            absent = np.isin(everywhere, sorted(set(numbers) - set(np.unique(found))))
            outlines += [
                _trace(canvas, mask, colour, width, style)
                for mask, style in ((here, dashes), (absent, ABSENT))
                if mask.any()
            ]
        sheet_rows = tuple(
            Row(
                "" if start else name,
                panels(canvas, views, plain),
                panels(canvas, views, None, outlines),
            )
            for start in range(0, len(slices), COLUMNS)
            if (views := [(AXIAL, i) for i in slices[start : start + COLUMNS]])
        )
        keys = tuple(
            Key(STYLES[kind][0], kind, STYLES[kind][2])
            for kind in STYLES
            if kind in status.values()
        )
        sheet = Sheet(f"{name}, aligned with the other sessions", sheet_rows, keys=keys,
                      note=CONVENTION.partition(".")[0] + ".")  # fmt: skip
        written.append(write_sheet(sheet, folder / f"{name}.svg"))
    return written


def _worth_showing(brain: BoolArray) -> slice:
    """Axial slices between the poles of a brain."""
    areas = brain.sum(axis=(0, 1))
    hits = np.flatnonzero(areas > _POLE * areas.max())
    return slice(int(hits[0]), int(hits[-1]) + 1)


def _trace(
    canvas: Canvas, mask: BoolArray, colour: str, width: float, dash: tuple[float, ...]
) -> Tracer:
    """Trace a mask by a line of its own width and dashes."""

    def line(axis: int, index: int) -> tuple[Outline]:
        plane = cut(mask, axis, index, canvas.box).astype(bool)
        return (Outline(mask_outline(plane, canvas.spacing(axis)), colour, width, dash),)

    return line
