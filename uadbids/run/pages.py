"""Make tables and pages from what lies in the output folder; again and again."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uadbids import __version__
from uadbids.bids.dataset import MODEL_CARD, write_dataset
from uadbids.bids.derivatives import finished_scans, verify_outputs
from uadbids.bids.facts import RESULTS, results_of
from uadbids.bids.files import locked, read_json, write_bytes
from uadbids.bids.foreign import read_tsv
from uadbids.bids.names import VIEWER, derivative_path, figure_path, follow_up_page, report_path
from uadbids.bids.scan import FinishedScan
from uadbids.bids.sidecar import without_folders
from uadbids.errors import UsageError
from uadbids.model.bundle import Card
from uadbids.model.card import parse_card
from uadbids.preproc.template import Template
from uadbids.reports.methods import MethodsText, describe_methods, methods_page
from uadbids.reports.page import Failure, ScanReport, data_address, figure_texts, write_subject_page
from uadbids.run.longitudinal import write_page
from uadbids.run.options import StudyOptions
from uadbids.run.runlog import run_log, say, terminal, writing_to

CITATION = "logs/CITATION"
_NOT_FACTS = ("Description", "Sources", "Type", "SpatialReference", "SkullStripped", *RESULTS)


def remake_pages(options: StudyOptions, card: Card) -> int:
    """Make tables and pages again from the outputs that are there (``--reports-only``).

    They describe the model that made the outputs, whichever `card` this run would have taken.
    Every output is compared with the hashes that were written with it: the exit status is 0, or 1
    when one is not as it was written.
    """
    card = _card_of_outputs(options, card)
    subjects = sorted({scan.subject for scan in finished_scans(options.output_dir)})
    if not subjects:
        raise UsageError(f"{options.output_dir}: there is no finished scan to report on")
    with run_log(options.output_dir, options.request) as log:
        with locked(options.output_dir):
            write_top_level(options, card)
            write_pages(options.output_dir, card, subjects, {}, datetime.now(UTC))
        console = terminal()
        verdicts = verify_outputs(options.output_dir, options.bids_dir)
        altered = {name: wrong for name, wrong in verdicts.items() if wrong}
        for name, wrong in altered.items():
            say(console, f"{name}: not as it was written: {'; '.join(wrong)}")
        say(console, f"verified: {len(verdicts) - len(altered)} of {len(verdicts)}")
        log.status = 1 if altered else 0
    return log.status


def write_boilerplate(options: StudyOptions, card: Card) -> None:
    """Write the methods text alone (``--boilerplate-only``): of the finished scans, or of defaults.

    UsageError when the output folder cannot be written.
    """
    try:
        write_methods(options.output_dir, _card_of_outputs(options, card))
    except OSError as error:
        raise UsageError(
            f"the output folder {options.output_dir} cannot be written ({error.strerror})"
        ) from error


def _card_of_outputs(options: StudyOptions, card: Card) -> Card:
    """Return the card of the model that made the outputs which are there, else `card`."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return parse_card(read_json(options.output_dir / MODEL_CARD) or {})
    return card


def write_top_level(
    options: StudyOptions, card: Card, subjects: Sequence[str] | None = None
) -> None:
    """Write what belongs to no single scan; the tables of scans of some participants, or of all.

    UsageError when the output folder cannot be written.
    """
    template = Template.packaged()
    with writing_to(options.output_dir):
        write_dataset(
            options.output_dir,
            options.bids_dir,
            card=card.to_dict(),
            template_t1w=template.t1w,
            template_mask=template.brain_mask,
            subjects=subjects,
        )


def write_pages(
    output_dir: Path,
    card: Card,
    subjects: Sequence[str],
    failures: Mapping[str, Sequence[Failure]],
    started: datetime,
) -> None:
    """Write ``sub-XX.html`` for each subject; ``failures`` are its scans that failed."""
    run = {"uadbids": __version__, "Started (UTC)": f"{started:%Y-%m-%d %H:%M}"}
    methods = write_methods(output_dir, card)
    for subject in subjects:
        write_subject_page(
            output_dir / report_path(subject),
            subject=subject,
            scans=[_report(output_dir, scan) for scan in finished_scans(output_dir, subject)],
            # The folders of this computer are in the crash file alone, which is not shared.
            failures=[
                replace(failure, reason=without_folders(failure.reason))
                for failure in failures.get(subject, ())
            ],
            card=card.to_dict(),
            run=run,
            methods=methods.html,
            comparison=str(follow_up_page(subject)) if write_page(output_dir, subject) else "",
        )


def write_single_page(
    page: Path, output_dir: Path, scan: FinishedScan, card: Card, name: str
) -> Path:
    """Write a page on one scan that needs no other file, under the name of the image."""
    report = replace(_report(output_dir, scan), name=name, title=name)
    figures = {kind: data_address(output_dir / path) for kind, path in report.figures.items()}
    return write_subject_page(
        page,
        subject=scan.subject,
        scans=[replace(report, figures=figures)],
        failures=[],
        card=card.to_dict(),
        run={"uadbids": __version__},
        methods=write_methods(output_dir, card).html,
        single=name,
    )


def write_methods(output_dir: Path, card: Card) -> MethodsText:
    """Write the methods text of all finished scans: ``logs/CITATION.md``, ``.html``, ``.bib``."""
    scans = [scan.metadata for scan in finished_scans(output_dir)]
    methods = describe_methods(__version__, card.to_dict(), scans)
    texts = {"md": methods.markdown, "html": methods_page(methods), "bib": methods.bibtex}
    for ending, text in texts.items():
        write_bytes(output_dir / f"{CITATION}.{ending}", text.encode())
    return methods


def _report(output_dir: Path, scan: FinishedScan) -> ScanReport:
    record: Mapping[str, Any] = scan.metadata
    figures = {kind: figure_path(scan, kind) for kind in figure_texts()}
    rows = read_tsv(output_dir / derivative_path(scan, "native_components", ".tsv"))
    viewer = output_dir / figure_path(scan, VIEWER)
    return ScanReport(
        name=scan.name,
        title=scan.name,
        facts={key: value for key, value in record.items() if key not in _NOT_FACTS},
        summary=results_of(record),
        components=[{key: _number(value) for key, value in row.items()} for row in rows],
        figures={k: str(path) for k, path in figures.items() if (output_dir / path).is_file()},
        viewer=viewer.read_text(encoding="utf-8") if viewer.is_file() else "",
    )


def _number(text: str) -> Any:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
