"""Pictures of the sessions of one participant: the same slices, what has changed outlined."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uadbids.reports.mosaic import CONVENTION, in_rows
from uadbids.reports.panels import Canvas, grey, panels, trace, window
from uadbids.reports.scene import MIN_GAP_MM
from uadbids.reports.slices import (
    AXIAL,
    BoolArray,
    bounding_box,
    choose_slices,
    load_like,
    load_volume,
)
from uadbids.reports.svg import Key, Row, Sheet, write_sheet

COUNT = 12
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


def draw_sessions(
    names: Sequence[str],
    volumes: Sequence[Path],
    families: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
) -> list[Path]:
    """Draw one sheet a session, ``<name>.svg``: the same slices and places, in one grey scale.

    Volumes are the sessions, families the numbers of the families in each, on one grid. Of the rows
    of the comparison's table, the last of a family gives its colour.
    """
    scans = [load_volume(path) for path in volumes]
    labels = [load_like(path, scans[0]).data.astype(np.int32) for path in families]
    brain = np.logical_or.reduce([scan.data > 0 for scan in scans])
    box = bounding_box(brain, scans[0].spacing, margin_mm=4)
    # Of each family between the sessions farthest apart, which come last.
    status = {int(row["index"]): str(row["status"] or UNKNOWN) for row in rows}
    everywhere = np.maximum.reduce(labels)
    changed = np.isin(everywhere, [number for number, s in status.items() if s != "stable"])
    shown = changed if changed.any() else everywhere > 0
    gap = math.ceil(MIN_GAP_MM / scans[0].spacing[AXIAL])
    slices = choose_slices(shown, AXIAL, _worth_showing(brain), COUNT, gap=gap)
    views = [(AXIAL, index) for index in slices]
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
                trace(canvas, mask, colour, width, style, halo=False)
                for mask, style in ((here, dashes), (absent, ABSENT))
                if mask.any()
            ]
        sheet_rows = tuple(
            Row(caption, panels(canvas, part, plain), panels(canvas, part, None, outlines))
            for caption, part in in_rows(name, views)
        )
        keys = tuple(
            Key(colour, kind, dashes)
            for kind, (colour, _, dashes) in STYLES.items()
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
