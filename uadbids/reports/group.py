"""The page of a study: strip plots, a map and a table of all scans, in one file with its script."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uadbids.bids.covariates import Covariate
from uadbids.bids.names import report_path
from uadbids.bids.ratings import REJECTED
from uadbids.qc.flags import flag_meanings
from uadbids.reports.group_table import COLUMNS, Column
from uadbids.reports.layout import write_page
from uadbids.reports.page import Failure

# Shares and volumes alike: more digits than these are noise.
DIGITS = 4


@dataclass(frozen=True)
class GroupReport:
    """Everything on the page of a study."""

    rows: Sequence[Mapping[str, Any]]  # of `group_table.group_rows`
    settings: Sequence[Mapping[str, Any]]  # of `group_table.settings_of`
    # Scans without finished outputs; crash files relative to the page.
    unfinished: Sequence[Failure]
    unexpected: Sequence[str]  # finished scans that the dataset does not hold
    unlinked: frozenset[str]  # participants, with ``sub-``, without a page
    # ``figure`` and ``image`` (relative to the page), ``participants``, ``scans``; None where no
    # map could be made.
    frequency: Mapping[str, Any] | None
    notes: Sequence[str]  # sentences for the reader
    card: Mapping[str, Any]  # the model's
    run: Mapping[str, Any]  # facts of the run
    covariates: Sequence[Covariate] = ()  # of the participants
    thumbnails: frozenset[str] = frozenset()  # scans that have one

    @property
    def counted(self) -> list[Mapping[str, Any]]:
        """Rows that go into the figures of the study: those that nobody rejected."""
        return [row for row in self.rows if row["rating"] != REJECTED]


def write_group_page(out: Path, report: GroupReport) -> Path:
    """Write the page of a study (HTML).

    Strings come from datasets and file names: those in the page are escaped, and the script puts
    those in its data (JSON, escaped as well) into the page as text.
    """
    shown = [
        column
        for column in COLUMNS
        if column.title and any(row[column.name] is not None for row in report.rows)
    ]
    return write_page(
        out,
        "group.html.j2",
        {},
        report=report,
        data=_data(report, shown),
        overview=_overview(report.counted, shown),
        counts=_counts(report.counted),
        flags=_flags(report.counted),
        rejected=[row["scan"] for row in report.rows if row["rating"] == REJECTED],
        by_others=sum(row["model_sha256"] != report.card.get("sha256") for row in report.rows),
    )


def _data(report: GroupReport, shown: Sequence[Column]) -> dict[str, Any]:
    """Give the script columns of values: names of fields in 5,000 rows would be a megabyte."""
    rows = report.rows
    return {
        "scans": [row["scan"] for row in rows],
        "pages": [_page(row["participant_id"], report) for row in rows],
        "flags": [row["flags"] or "" for row in rows],
        "warnings": [row["warnings"] for row in rows],
        "settings": [row["settings"] for row in rows],
        "ratings": {
            row["scan"]: [row["rating"] or "", row["note"] or ""]
            for row in rows
            if row["rating"] or row["note"]
        },
        # Which scans have a picture; where it lies follows from the name.
        "thumbnails": [int(row["scan"] in report.thumbnails) for row in rows],
        "participants": [row["participant_id"] for row in rows],
        "covariates": [
            {
                "title": covariate.name,
                "numeric": covariate.is_number,
                "values": [covariate.values.get(row["participant_id"]) for row in rows],
            }
            for covariate in report.covariates
        ],
        "columns": [
            {
                "title": column.title,
                "units": column.units,
                "description": column.description,
                "skewed": column.is_skewed,
                "values": [_rounded(row[column.name]) for row in rows],
            }
            for column in shown
        ],
    }


def _page(participant: str, report: GroupReport) -> str:
    """Page of a participant, empty where there is none."""
    if participant in report.unlinked:
        return ""
    return str(report_path(participant.removeprefix("sub-")))


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _overview(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column]) -> list[dict[str, Any]]:
    """Quartiles of each column: the strip plots in figures, also for those who cannot see them."""
    found = []
    for column in shown:
        values = [row[column.name] for row in rows if row[column.name] is not None]
        if values:
            quartiles = np.percentile(values, (0, 25, 50, 75, 100)).tolist()
            title = f"{column.title} ({column.units})" if column.units else column.title
            found.append(
                {"title": title, "description": column.description, "scans": len(values)}
                | {"quartiles": list(map(_rounded, quartiles))}
            )
    return found


def _flags(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """List the flags that occur: code, meaning, number of scans; the most frequent first."""
    raised = Counter(code for row in rows if row["flags"] for code in row["flags"].split(","))
    meanings = flag_meanings()
    return [(code, meanings.get(code, ""), number) for code, number in raised.most_common()]


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        "Scans": len(rows),
        "Participants": len({row["participant_id"] for row in rows}),
        "With a flag or warning": sum(bool(row["flags"] or row["warnings"]) for row in rows),
        "Without any finding": sum(row["finding_count"] == 0 for row in rows),
    }
