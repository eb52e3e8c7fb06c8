"""Run the graphs of many scans, a batch at a time, and report what became of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from uadbids.bids.derivatives import is_finished, verify_scan
from uadbids.bids.masks import BRAIN, find_mask
from uadbids.bids.scan import Scan
from uadbids.errors import UsageError
from uadbids.reports.page import Failure
from uadbids.run.claims import Claims
from uadbids.run.options import Examination, RunOptions
from uadbids.run.progress import Progress

BATCH = 100
"""Scans in one graph: nipype's time and memory grow with the graph, and a graph ends with its
processes, so whatever they leak ends too."""
CLAIMED = (
    "another run is examining this scan in the same work directory; wait for it, or give another "
    "--work-dir"
)


def examine(scans: Sequence[Scan], plan: Examination, progress: Progress) -> dict[str, Failure]:
    """Run the graphs of scans that nothing is in the way of; return why scans failed, by name."""
    # What a cluster is given at once, it can run at once.
    size = len(scans) if plan.run.use_plugin else max(BATCH, 4 * plan.run.nprocs)
    failures: dict[str, Failure] = {}
    with Claims(plan.run.work_dir) as claims:
        for start in range(0, len(scans), size):
            batch = scans[start : start + size]
            if failures and plan.run.stop_on_first_crash:
                reasons = {scan.name: "the run was stopped at the first failure" for scan in batch}
                failures |= _note(batch, reasons, {}, plan, progress)
            else:
                failures |= _run_batch(batch, plan, claims, progress)
    return failures


def given_masks(
    bids_dir: Path, scans: Sequence[Scan], run: RunOptions
) -> tuple[list[tuple[Scan, Path | None]], dict[str, str]]:
    """Pair scans with the brain masks of the dataset; say where more than one mask fits."""
    ready: list[tuple[Scan, Path | None]] = []
    unclear: dict[str, str] = {}
    for scan in scans:
        try:
            wanted = run.skull_strip == "mask"
            ready.append((scan, find_mask(bids_dir, scan, BRAIN) if wanted else None))
        except UsageError as error:
            unclear[scan.name] = str(error)
    return ready, unclear


def _run_batch(
    batch: Sequence[Scan], plan: Examination, claims: Claims, progress: Progress
) -> dict[str, Failure]:
    from uadbids.run.scheduler.engine import Outcome, remove_results, run_graph
    from uadbids.run.scheduler.graph import graph_name, init_scans_wf

    claimed = [scan for scan in batch if claims.take(graph_name(scan.name))]
    ready, reasons = given_masks(plan.bids_dir, claimed, plan.run)
    reasons |= {scan.name: CLAIMED for scan in batch if scan not in claimed}
    graph = init_scans_wf(ready, plan)
    # nipype cannot run a graph without nodes.
    outcome = run_graph(graph, plan.run, progress.step) if ready else Outcome()
    crash_files: dict[str, Path | None] = {}
    for scan, _ in ready:
        name = graph_name(scan.name)
        if (name, "derive") not in outcome.ended:
            reason, crash_files[scan.name] = outcome.reason(name, plan.log_dir(scan.subject))
            reasons[scan.name] = reason or "the run ended before this scan was done"
    if plan.clean:
        remove_results(graph, keep=[graph_name(name) for name in reasons])
    return _note(batch, reasons, crash_files, plan, progress)


def _note(
    batch: Sequence[Scan],
    reasons: dict[str, str],
    crash_files: Mapping[str, Path | None],
    plan: Examination,
    progress: Progress,
) -> dict[str, Failure]:
    failures: dict[str, Failure] = {}
    for scan in batch:
        if scan.name not in reasons:
            continue
        crash_file, root = crash_files.get(scan.name), plan.derive.output_dir
        reason = reasons[scan.name] + _older(root, scan)
        link = str(crash_file.relative_to(root)) if crash_file else None
        failures[scan.name] = Failure(scan.name, reason, link)
        progress.note(f"{scan.name}: failed: {reason}")
        if crash_file:
            progress.note(f"  crash file: {crash_file}")
    return failures


def _older(output_dir: Path, scan: Scan) -> str:
    """Mention outputs of an earlier run, which a failure leaves in place, and whether they hold."""
    if not is_finished(output_dir, scan):
        return ""
    wrong = verify_scan(output_dir, scan, scan.path)
    but = f", but {'; '.join(wrong)}" if wrong else ""
    return f" (its outputs of an earlier run were left in place{but})"
