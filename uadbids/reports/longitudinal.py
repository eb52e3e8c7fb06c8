"""A comparison of sessions: pictures of the same slices, and a page of what became of findings."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uadbids.reports.layout import LAYOUTS, write_page
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
# Symbol; colour, width and dashes: statuses stay apart in grey, and for any colour vision.
STATUSES: Mapping[str, tuple[str, str, float, tuple[float, ...]]] = {
    "new": ("+", "#ffe14d", 1.6, ()),
    "enlarging": ("▲", "#ff9b3d", 1.6, (2.2, 1.8)),
    "stable": ("=", "#00c8e0", 0.6, ()),
    "shrinking": ("▼", "#c79bff", 1.0, (2.2, 1.8)),
    "gone": ("\N{MINUS SIGN}", "#ffffff", 1.0, ()),
    UNKNOWN: ("?", "#9aa4b0", 0.6, ()),
}
"""How each status is drawn, in the order of importance."""


@dataclass(frozen=True)
class ComparisonReport:
    """What the page shows."""

    title: str  # of the participant, such as ``sub-01``
    sessions: Sequence[str]  # names of the scans, in the order of time
    figures: Sequence[str]  # address of the picture of each, relative to the page
    rows: Sequence[Mapping[str, str]]  # of the table, as text
    record: Mapping[str, Any]  # sidecar of the table
    page: str = ""  # address of the page of the sessions; empty where there is none
    is_old: bool = False  # whether a session was examined anew since


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
        for kind, (_, colour, width, dashes) in STATUSES.items():
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
            for kind, (_, colour, _, dashes) in STATUSES.items()
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


def write_comparison_page(
    out: Path, report: ComparisonReport, run: Mapping[str, Any], picture: Callable[[str], str] = str
) -> Path:
    """Write the page, by a temporary name in the same folder; ``picture`` makes addresses."""
    pairs = list(dict.fromkeys((row["from"], row["to"]) for row in report.rows))
    tables = [
        (pair, _sorted([row for row in report.rows if (row["from"], row["to"]) == pair]))
        for pair in pairs
    ]
    counts = {pair: Counter(row["status"] for row in rows) for pair, rows in tables}
    return write_page(
        out,
        "longitudinal.html.j2",
        {"picture": picture, "symbol": lambda status: STATUSES[status][0]},
        report=report,
        tables=tables,
        counts=counts,
        statuses=[status for status in STATUSES if status != UNKNOWN],
        script=(LAYOUTS / "longitudinal.js").read_text(encoding="utf-8"),
        run=run,
    )


def _sorted(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Put what has changed first, then the larger."""
    order = {status: number for number, status in enumerate(STATUSES)}
    order["stable"] = len(order)
    return sorted(
        rows,
        key=lambda row: (
            row["tag"] == "likely-artefact",
            order.get(row["status"], len(order)),
            -max(float(row["volume_from_ml"]), float(row["volume_to_ml"])),
        ),
    )
