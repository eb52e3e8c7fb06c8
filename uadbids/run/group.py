"""Gather the finished scans of a study: a table, a page, a map of where findings lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from uadbids import __version__
from uadbids.bids.covariates import read_covariates
from uadbids.bids.dataset import MODEL_CARD, check_output_dir
from uadbids.bids.derivatives import finished_scans
from uadbids.bids.files import json_bytes, read_json, write_bytes
from uadbids.bids.names import (
    TEMPLATE_MASK,
    TEMPLATE_T1W,
    THUMBNAIL,
    derivative_path,
    figure_path,
    log_dir,
    report_path,
)
from uadbids.bids.ratings import REJECTED, STORED, Rating, rating_tables, read_ratings
from uadbids.bids.scan import FinishedScan, Scan
from uadbids.bids.sidecar import without_folders
from uadbids.errors import ScanError, UsageError
from uadbids.reports.frequency import draw_frequency
from uadbids.reports.group import GroupReport, write_group_page
from uadbids.reports.group_table import group_rows, group_tables, settings_of
from uadbids.reports.page import Failure
from uadbids.run.finding_frequency import FindingFrequency, finding_frequency
from uadbids.run.options import StudyOptions
from uadbids.run.runlog import run_log, say, terminal, writing_to

PAGE = "group_FLAIR.html"
MAP = "group_FLAIR_findingfrequency"
# Names that a line on the terminal holds.
SHOWN = 5


@dataclass(frozen=True)
class GroupOptions(StudyOptions):
    """What the group level was asked for."""

    ratings: Path | None = None  # table that the page of a study exported


def group(options: GroupOptions) -> int:
    """Write the table, the page and the map of a study, whose outputs are in its output folder.

    Ratings are those that are given, which are stored, else those that were stored before: rejected
    scans are left out of the map and of all figures that sum the study up.

    The exit status is 0, or 1 when the mask of a scan could not be read. UsageError if there are
    no outputs, none of the participants asked for, or the folder cannot be written.
    """
    selected = _select(options)
    stored = options.output_dir / STORED
    given = options.ratings or (stored if stored.exists() else None)
    ratings = read_ratings(given) if given else {}
    with run_log(options.output_dir, options.request) as log:
        log.status = _group(options, ratings, *selected)
    return log.status


def _group(
    options: StudyOptions,
    ratings: Mapping[str, Rating],
    scans: list[FinishedScan],
    missing: list[Scan],
    unexpected: list[str],
) -> int:
    console = terminal()
    rows = group_rows(scans, ratings)
    left_out = {name for name, given in ratings.items() if given.rating == REJECTED}
    with writing_to(options.output_dir):
        tables = group_tables(rows)
        # One that differs is written again.
        there = [name for name in tables if (options.output_dir / name).exists()]
        changed = [
            n for n, content in tables.items() if write_bytes(options.output_dir / n, content)
        ]
        for name, content in rating_tables(ratings).items() if ratings else ():
            write_bytes(options.output_dir / name, content)
        card = read_json(options.output_dir / MODEL_CARD) or {}
        counted = [scan for scan in scans if scan.name not in left_out]
        frequency, notes, broken = _map(options.output_dir, counted, card, console)
        if unknown := sorted(ratings.keys() - {scan.name for scan in scans}):
            notes.append(f"Ratings of other scans are not used: {_counted(unknown, '')}.")
        report = GroupReport(
            rows=rows,
            settings=settings_of(rows),
            unfinished=[_unfinished(scan, options.output_dir) for scan in missing],
            unexpected=unexpected,
            unlinked=frozenset(
                f"sub-{scan.subject}"
                for scan in scans
                if not (options.output_dir / report_path(scan.subject)).is_file()
            ),
            frequency=frequency,
            notes=notes,
            card=card,
            run={"uadbids": __version__},
            covariates=read_covariates(options.bids_dir),
            thumbnails=frozenset(
                scan.name
                for scan in scans
                if (options.output_dir / figure_path(scan, THUMBNAIL)).is_file()
            ),
        )
        page = write_group_page(options.output_dir / PAGE, report)
    if older := sorted(set(there) & set(changed)):
        say(console, f"{', '.join(older)} was older than the outputs, and is made again")
    for sentence in (*_summary(scans, report), *notes):
        say(console, sentence)
    say(console, f"page: {page}")
    return 1 if broken else 0


def _select(options: StudyOptions) -> tuple[list[FinishedScan], list[Scan], list[str]]:
    """Finished scans, scans of the dataset that are not, and finished ones it does not hold."""
    if not options.output_dir.is_dir():
        raise UsageError(
            f"there is no folder {options.output_dir}; run uadbids {options.bids_dir} "
            f"{options.output_dir} participant first"
        )
    check_output_dir(options.output_dir)
    expected = options.find()
    names = {scan.name for scan in expected}
    finished = [
        scan
        for scan in finished_scans(options.output_dir)
        if _is_wanted(scan, options) and (not options.filter_file or scan.name in names)
    ]
    if not finished:
        chosen = options.participant_labels or options.session_labels or options.filter_file
        raise UsageError(
            f"{options.output_dir} holds no finished scan"
            f"{' of what was asked for' if chosen else ''}; run the participant level first"
        )
    done = {scan.name for scan in finished}
    missing = [scan for scan in expected if scan.name not in done and not scan.is_absent]
    return finished, missing, sorted(done - names)


def _is_wanted(scan: FinishedScan, options: StudyOptions) -> bool:
    participants = {label.removeprefix("sub-") for label in options.participant_labels}
    sessions = {label.removeprefix("ses-") for label in options.session_labels}
    return (not participants or scan.subject in participants) and (
        not sessions or scan.session in sessions
    )


def _unfinished(scan: Scan, output_dir: Path) -> Failure:
    """Why a scan has no outputs, as far as the folder shows."""
    from uadbids.run.scheduler.failures import read_crashes
    from uadbids.run.scheduler.graph import graph_name

    if scan.skip_reason:
        word = "refused" if scan.is_refused else "skipped"
        return Failure(scan.name, without_folders(f"{word}, {scan.skip_reason}"))
    logs = sorted((output_dir / log_dir(scan.subject, "*")).parent.glob("*"), reverse=True)
    for folder in logs:
        crash = read_crashes(folder).get(graph_name(scan.name))
        if crash:
            file = str(crash.crash_file.relative_to(output_dir)) if crash.crash_file else None
            return Failure(scan.name, f"failed, {without_folders(crash.reason)}", file)
    return Failure(scan.name, "not run yet, or stopped before it was done")


def _map(
    output_dir: Path, scans: Sequence[FinishedScan], card: Mapping[str, Any], console: Console
) -> tuple[dict[str, Any] | None, list[str], bool]:
    """Make the map of frequency: what the page needs of it, notes, whether masks are broken."""
    image, text, figure = (output_dir / f"{MAP}{end}" for end in (".nii.gz", ".json", ".svg"))
    with_mask = [
        s for s in scans if (output_dir / derivative_path(s, "template_lesions")).is_file()
    ]
    notes = []
    if len(with_mask) < len(scans):
        notes.append(
            f"{len(scans) - len(with_mask)} of {len(scans)} scans have no mask of findings on the "
            "template grid and are not in the map of finding frequency; they were made without "
            "--output-spaces template."
        )
    template = output_dir / TEMPLATE_T1W
    found = None
    if with_mask and not template.is_file():
        notes.append(f"There is no map of finding frequency: {TEMPLATE_T1W} is missing.")
    elif with_mask:
        found = finding_frequency(output_dir, with_mask, template, console)
        notes += [
            f"{name}: its mask on the template grid cannot be used: {reason}"
            for name, reason in found.unreadable.items()
        ]
    if found is None or not found.scans:
        for path in (image, text, figure):
            path.unlink(missing_ok=True)
        return None, notes, bool(found and found.unreadable)
    found.save(image)
    write_bytes(text, json_bytes(_map_text(found)))
    try:
        draw_frequency(
            template, output_dir / TEMPLATE_MASK, image, figure, examined=examined_slices(card)
        )
    except ScanError as error:
        return None, [*notes, str(error)], True
    shown = {"figure": figure.name, "image": image.name, "maximum": float(found.share.max())}
    numbers = {"participants": found.participants, "scans": found.scans}
    return shown | numbers, notes, bool(found.unreadable)


def _map_text(found: FindingFrequency) -> dict[str, Any]:
    return {
        "Description": "Share of participants with a finding at each voxel of the template, from 0 "
        "to 1: mean over participants of the mean over their sessions of the mean over the scans "
        "of a session; 0 also where the model does not look",
        "SpatialReference": f"bids::{TEMPLATE_T1W}",
        "NumberOfParticipants": found.participants,
        "NumberOfScans": found.scans,
        "Maximum": round(float(found.share.max()), 6),
        "LeftOut": sorted(found.unreadable),
        "UadbidsVersion": __version__,
    }


def examined_slices(card: Mapping[str, Any]) -> slice | None:
    """Axial slices that the model examines; None for all, as with a reader."""
    if card.get("reader"):
        return None
    try:
        start, size = int(card["crop"]["start"][2]), int(card["crop"]["shape"][2])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return slice(max(start, 0), start + size)


def _summary(scans: Sequence[FinishedScan], report: GroupReport) -> list[str]:
    """Say what a person at the terminal should know."""
    sentences = [f"scans: {len(scans)}, participants: {len({scan.subject for scan in scans})}"]
    if left_out := [row["scan"] for row in report.rows if row["rating"] == REJECTED]:
        sentences.append(f"rejected, and left out: {_counted(left_out, '')}")
    if len(report.settings) > 1:
        sentences.append(
            f"warning: there are {len(report.settings)} sets of model, threshold, version and "
            "brain mask; volumes of different sets do not compare (column settings)"
        )
    if report.unfinished:
        names = [scan.name for scan in report.unfinished]
        sentences.append(f"warning: no finished output: {_counted(names, 'of the dataset')}")
    if report.unexpected:
        sentences.append(
            f"warning: not in the dataset: {_counted(report.unexpected, '', 'finished ')}"
        )
    return sentences


def _counted(names: Sequence[str], after: str, before: str = "") -> str:
    count = f"{len(names)} {before}scan{'' if len(names) == 1 else 's'} {after}".strip()
    more = ", ...: all are on the page" if len(names) > SHOWN else ""
    return f"{count} ({', '.join(names[:SHOWN])}{more})"
