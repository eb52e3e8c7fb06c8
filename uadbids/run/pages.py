"""Make the pages of subjects from what lies in the output folder; again and again."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from uadbids import __version__
from uadbids.bids.derivatives import finished_scans
from uadbids.bids.facts import RESULTS, results_of
from uadbids.bids.files import write_bytes
from uadbids.bids.names import derivative_path, figure_path, report_path
from uadbids.bids.scan import FinishedScan
from uadbids.bids.sidecar import without_folders
from uadbids.model.bundle import Card
from uadbids.reports.methods import MethodsText, describe_methods, methods_page
from uadbids.reports.page import Failure, ScanReport, figure_texts, write_subject_page

CITATION = "logs/CITATION"
_NOT_FACTS = ("Description", "Sources", "Type", "SpatialReference", "SkullStripped", *RESULTS)


def write_pages(
    output_dir: Path,
    card: Card,
    subjects: Sequence[str],
    failures: Mapping[str, Sequence[Failure]],
    started: datetime,
) -> list[Path]:
    """Write ``sub-XX.html`` for each subject; ``failures`` are its scans that failed.

    Returns
    -------
    list of Path
        The pages.
    """
    run = {"uadbids": __version__, "Started (UTC)": f"{started:%Y-%m-%d %H:%M}"}
    methods = write_methods(output_dir, card)
    return [
        write_subject_page(
            output_dir / report_path(subject),
            subject=subject,
            scans=[_report(output_dir, scan) for scan in finished_scans(output_dir, subject)],
            failures=[_to_share(failure) for failure in failures.get(subject, ())],
            card=card.to_dict(),
            run=run,
            methods=methods.html,
        )
        for subject in subjects
    ]


def write_methods(output_dir: Path, card: Card) -> MethodsText:
    """Write the methods text of all finished scans: ``logs/CITATION.md``, ``.html``, ``.bib``."""
    scans = [scan.metadata for scan in finished_scans(output_dir)]
    methods = describe_methods(__version__, card.to_dict(), scans)
    for ending, text in (
        ("md", methods.markdown),
        ("html", methods_page(methods)),
        ("bib", methods.bibtex),
    ):
        write_bytes(output_dir / f"{CITATION}.{ending}", text.encode())
    return methods


def _to_share(failure: Failure) -> Failure:
    """Leave the folders of this computer out; the crash file, which is not shared, has them."""
    return replace(failure, reason=without_folders(failure.reason))


def _report(output_dir: Path, scan: FinishedScan) -> ScanReport:
    record: Mapping[str, Any] = scan.metadata
    figures = {kind: figure_path(scan, kind) for kind in figure_texts()}
    return ScanReport(
        name=scan.name,
        title=scan.name,
        facts={key: value for key, value in record.items() if key not in _NOT_FACTS},
        summary=results_of(record),
        components=_components(output_dir / derivative_path(scan, "native_components", ".tsv")),
        figures={k: str(path) for k, path in figures.items() if (output_dir / path).is_file()},
    )


def _components(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [{key: _number(value) for key, value in row.items()} for row in rows]


def _number(text: str) -> Any:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
