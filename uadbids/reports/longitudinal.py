"""The page of a comparison of sessions: pictures side by side, and what has become of findings."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uadbids.reports.layout import LAYOUTS, write_page
from uadbids.reports.longitudinal_figures import STYLES, UNKNOWN

SYMBOLS: Mapping[str, str] = {
    "new": "+",
    "enlarging": "▲",
    "stable": "=",
    "shrinking": "▼",
    "gone": "\N{MINUS SIGN}",
    UNKNOWN: "?",
}


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
        {"picture": picture, "symbol": SYMBOLS.__getitem__},
        report=report,
        tables=tables,
        counts=counts,
        statuses=[status for status in STYLES if status != UNKNOWN],
        script=(LAYOUTS / "longitudinal.js").read_text(encoding="utf-8"),
        run=run,
    )


def _sorted(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Put what has changed first, then the larger."""
    order = {status: number for number, status in enumerate(STYLES)}
    order["stable"] = len(order)
    return sorted(
        rows,
        key=lambda row: (
            row["tag"] == "likely-artefact",
            order.get(row["status"], len(order)),
            -max(float(row["volume_from_ml"]), float(row["volume_to_ml"])),
        ),
    )
