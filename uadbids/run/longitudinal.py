"""Compare the sessions of participants, once each session has its own outputs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from uadbids import __version__
from uadbids.bids.derivatives import SOURCE_HASH, finished_scans
from uadbids.bids.files import file_sha256, write_bytes
from uadbids.bids.longitudinal import EXAMINED, IMAGES, examined, finished_comparison
from uadbids.bids.names import (
    derivative_path,
    follow_up_figure,
    follow_up_page,
    path_of,
    report_path,
)
from uadbids.bids.scan import FinishedScan, Scan
from uadbids.errors import UsageError
from uadbids.pipeline.records import LongitudinalOptions
from uadbids.reports.longitudinal import ComparisonReport, write_comparison_page
from uadbids.reports.page import data_address
from uadbids.run.options import Examination
from uadbids.run.progress import Progress

Files = Mapping[str, Path]


def compare(scans: Sequence[Scan], failed: Mapping[str, str], plan: Examination) -> dict[str, str]:
    """Compare the sessions of each participant of `scans`; return why it failed, by participant.

    Of a participant, the scans that are finished are compared; those of `failed`, reasons by name,
    are left out, and the reason is reported. A participant with one session is named, and is no
    failure.
    """
    from uadbids.run.scheduler.graph import graph_name

    subjects = sorted({scan.subject for scan in scans})
    graphs = {subject: graph_name(f"sub-{subject}_longitudinal") for subject in subjects}
    titles = {graph: f"sub-{subject}, sessions" for subject, graph in graphs.items()}
    progress = Progress(titles, last="compare")
    ready: dict[str, tuple[Files, LongitudinalOptions]] = {}
    failures: dict[str, str] = {}
    for subject, graph in graphs.items():
        mine = [scan for scan in scans if scan.subject == subject]
        try:
            if sessions := _sessions(subject, mine, failed, plan, progress):
                ready[graph] = (_files(sessions, mine, plan), _options(sessions, plan))
        except UsageError as error:
            failures[subject] = str(error)
    if ready:
        failures |= _run(ready, plan, progress)
    for subject, reason in failures.items():
        progress.note(f"sub-{subject}: sessions not compared: {reason}")
    return failures


def _run(
    ready: Mapping[str, tuple[Files, LongitudinalOptions]], plan: Examination, progress: Progress
) -> dict[str, str]:
    """Run the comparisons, by the names of their graphs; return why some participants' failed."""
    from uadbids.run.scheduler.engine import run_graph
    from uadbids.run.scheduler.graph import init_comparisons_wf

    with progress:
        outcome = run_graph(init_comparisons_wf(ready, plan), plan.run, progress.step)
    failures: dict[str, str] = {}
    for graph, (_, options) in ready.items():
        if (graph, "compare") not in outcome.ended:
            subject = options.scans[0].subject
            reason, _ = outcome.reason(graph, plan.log_dir(subject))
            failures[subject] = reason or "the run ended before they were compared"
    return failures


def write_page(output_dir: Path, subject: str) -> Path | None:
    """Write the page of a comparison from its outputs; None where there is none."""
    found = finished_comparison(output_dir, subject)
    if found is None:
        return None
    scans = {scan.name: scan for scan in finished_scans(output_dir, subject)}
    names = [name for name in found.sessions if name in scans]
    report = ComparisonReport(
        title=f"sub-{subject}",
        sessions=names,
        figures=[str(follow_up_figure(scans[name])) for name in names],
        rows=found.rows,
        record=found.record,
        page=str(report_path(subject)),
        is_old=any(
            found.record["Examined"].get(name) != examined(scans[name]) if name in scans else True
            for name in found.sessions
        ),
    )
    run = {"uadbids": __version__, "Written (UTC)": f"{datetime.now(UTC):%Y-%m-%d %H:%M}"}
    return write_comparison_page(output_dir / follow_up_page(subject), report, run, quote)


def write_flat(output_dir: Path, subject: str, names: Mapping[str, str], out: Path) -> list[Path]:
    """Write the comparison of one participant into a flat folder; return its page, if any.

    ``names`` are what to call the sessions, by their labels; the first gives the files their name.
    The page needs no other file.
    """
    found = finished_comparison(output_dir, subject)
    if found is None:
        return []
    scans = {scan.name: scan for scan in finished_scans(output_dir, subject)}
    called = {name: names[str(scans[name].session)] for name in found.sessions}
    rows = [{**row, "from": called[row["from"]], "to": called[row["to"]]} for row in found.rows]
    quality = {called[name]: of for name, of in found.record["SessionQuality"].items()}
    report = ComparisonReport(
        title=next(iter(called.values())),
        sessions=list(called.values()),
        figures=[data_address(output_dir / follow_up_figure(scans[name])) for name in called],
        rows=rows,
        record={
            **found.record,
            "SessionQuality": quality,
            "NotComparable": [
                {**one, "from": called[one["from"]], "to": called[one["to"]]}
                for one in found.record["NotComparable"]
            ],
        },
    )
    stem = f"{report.title}_longitudinal"
    write_bytes(out / f"{stem}.csv", pd.DataFrame(rows).to_csv(index=False).encode())
    for name, title in called.items():
        image = output_dir / path_of(scans[name], IMAGES["native"])
        write_bytes(out / f"{title}_longitudinal.nii.gz", image.read_bytes())
    return [write_comparison_page(out / f"{stem}.html", report, {"uadbids": __version__})]


def _sessions(
    subject: str,
    scans: Sequence[Scan],
    failed: Mapping[str, str],
    plan: Examination,
    progress: Progress,
) -> tuple[FinishedScan, ...]:
    """Choose the scan of each session, none where there are not two."""
    usable = {scan.name for scan in scans if scan.name not in failed and not scan.skip_reason}
    finished = [
        scan for scan in finished_scans(plan.derive.output_dir, subject) if scan.name in usable
    ]
    for lost in scans:
        if lost.name in failed or lost.is_refused:
            reason = failed.get(lost.name) or lost.skip_reason
            progress.note(f"sub-{subject}: {lost.name} is left out of the comparison: {reason}")
    chosen = alike(finished)
    for scan in finished:
        if scan not in chosen and len(chosen) > 1:
            progress.note(
                f"sub-{subject}: {scan.name} is left out of the comparison: one scan of each "
                "session is compared, those that are named alike"
            )
    if len(chosen) < 2:
        progress.note(
            f"sub-{subject}: nothing is compared: it has {len(chosen)} session"
            f"{'' if len(chosen) == 1 else 's'} to look at, and --longitudinal needs two"
        )
        return ()
    seen: dict[str, str] = {}
    for scan in chosen:
        sha256 = str(scan.metadata.get(SOURCE_HASH))
        if sha256 in seen:
            raise UsageError(
                f"{seen[sha256]} and {scan.name} are the same file, byte for byte; give each "
                "session its own scan"
            )
        seen[sha256] = scan.name
    return tuple(chosen)


def alike(scans: Sequence[FinishedScan]) -> list[FinishedScan]:
    """One scan of each session in the order of their labels: those whose other entities agree."""
    groups: dict[tuple[tuple[str, str], ...], dict[str, FinishedScan]] = {}
    for scan in scans:
        if scan.session is not None:
            others = {**scan.entities}
            del others["session"]
            groups.setdefault(tuple(sorted(others.items())), {})[scan.session] = scan
    if not groups:
        return []
    best = max(groups.values(), key=len)
    if len(best) < 2:
        best = {scan.session: scan for scan in reversed(scans) if scan.session is not None}
    return [best[session] for session in sorted(best, key=_natural)]


def _natural(label: str) -> list[tuple[int, str]]:
    """Sort key by which ``ses-2`` comes before ``ses-10``."""
    parts = re.findall(r"\d+|\D+", label)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _files(sessions: Sequence[FinishedScan], scans: Sequence[Scan], plan: Examination) -> Files:
    """Name what a comparison reads; UsageError for a scan that is not what was examined."""
    sources = {scan.name: scan.path for scan in scans}
    files: dict[str, Path] = {}
    for number, scan in enumerate(sessions):
        source = sources[scan.name]
        if file_sha256(source) != scan.metadata.get(SOURCE_HASH):
            raise UsageError(f"{source} has changed since it was examined; run again")
        files[f"source_{number}"] = source
        for kind, key in (("brain", "native_brain"), ("xfm", "xfm")):
            files[f"{kind}_{number}"] = plan.derive.output_dir / derivative_path(scan, key)
    return files


def _options(sessions: Sequence[FinishedScan], plan: Examination) -> LongitudinalOptions:
    # Of a sidecar, what the outputs name.
    named = tuple(
        replace(scan, metadata={key: scan.metadata.get(key) for key in ("Sources", *EXAMINED)})
        for scan in sessions
    )
    return LongitudinalOptions(
        plan.derive.output_dir, named, plan.preprocess.config, plan.detect, plan.derive.facts
    )
