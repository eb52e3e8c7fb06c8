"""Run the graphs of many scans, a lot at a time, and tell what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uadbids.bids.derivatives import is_finished, verify_scan
from uadbids.bids.masks import BRAIN, find_mask
from uadbids.bids.names import log_dir
from uadbids.bids.scan import Scan
from uadbids.errors import UsageError
from uadbids.preproc.config import PreprocConfig
from uadbids.reports.page import Failure
from uadbids.run.claims import Claims
from uadbids.run.options import RunOptions
from uadbids.run.progress import Progress

if TYPE_CHECKING:
    from uadbids.run.graphs.detect import ModelOptions
    from uadbids.run.graphs.scan import OutputOptions
    from uadbids.run.scheduler.engine import Crash

LOT = 100
"""Scans in one graph: nipype's time and memory grow with the graph, and a graph ends with its
processes, so whatever they leak ends too."""
CLAIMED = (
    "another run is examining this scan in the same work directory; wait for it, or give another "
    "--work-dir"
)


@dataclass(frozen=True)
class Plan:
    """What is the same for every scan of a run: dataset, settings, model, outputs.

    With `clean`, the intermediate results of a scan go once its outputs are written.
    """

    bids_dir: Path
    config: PreprocConfig
    model: ModelOptions
    run: RunOptions
    outputs: OutputOptions
    clean: bool = False


def examine(scans: Sequence[Scan], plan: Plan, progress: Progress) -> dict[str, Failure]:
    """Run the graphs of scans; those of one failed scan do not stop the others'.

    Parameters
    ----------
    scans : sequence of Scan
        Scans without anything in their way.
    plan : Plan
        How.
    progress : Progress
        Told of steps and failures.

    Returns
    -------
    dict of str to Failure
        Name of a scan -> why it failed, in the order of `scans`.
    """
    # What a cluster is given at once, it can run at once.
    size = len(scans) if plan.run.use_plugin else max(LOT, 4 * plan.run.nprocs)
    failures: dict[str, Failure] = {}
    with Claims(plan.run.work_dir) as claims:
        for start in range(0, len(scans), size):
            lot = scans[start : start + size]
            if failures and plan.run.stop_on_first_crash:
                reasons = {scan.name: "the run was stopped at the first failure" for scan in lot}
                failures |= _note(lot, reasons, {}, plan, progress)
            else:
                failures |= _run_lot(lot, plan, claims, progress)
    return failures


def given_masks(
    bids_dir: Path, scans: Sequence[Scan], run: RunOptions
) -> tuple[list[tuple[Scan, Path | None]], dict[str, str]]:
    """Pair scans with the brain masks of the dataset; tell where more than one mask fits."""
    ready: list[tuple[Scan, Path | None]] = []
    unclear: dict[str, str] = {}
    for scan in scans:
        try:
            wanted = run.skull_strip == "mask"
            ready.append((scan, find_mask(bids_dir, scan, BRAIN) if wanted else None))
        except UsageError as error:
            unclear[scan.name] = str(error)
    return ready, unclear


def _run_lot(
    lot: Sequence[Scan], plan: Plan, claims: Claims, progress: Progress
) -> dict[str, Failure]:
    from uadbids.run.graphs.scan import init_uadbids_wf
    from uadbids.run.scheduler.engine import (
        Outcome,
        graph_name,
        read_crashes,
        remove_results,
        run_graph,
    )

    claimed = [scan for scan in lot if claims.take(graph_name(scan.name))]
    ready, reasons = given_masks(plan.bids_dir, claimed, plan.run)
    reasons |= {scan.name: CLAIMED for scan in lot if scan not in claimed}
    graph = init_uadbids_wf(ready, plan.config, plan.model, plan.run, plan.outputs)
    # nipype cannot run a graph without steps.
    outcome = run_graph(graph, plan.run, progress.step) if ready else Outcome(frozenset(), "")
    crashes: dict[str, Sequence[Crash]] = {}
    for scan, _ in ready:
        name = graph_name(scan.name)
        if (name, "write") not in outcome.ended:
            folder = plan.outputs.output_dir / log_dir(scan.subject, plan.outputs.run_uuid)
            crashes[scan.name] = [c for c in read_crashes(folder) if c.graph == name]
            told = [c.reason for c in crashes[scan.name]] or [outcome.unrecorded.get(name, "")]
            reasons[scan.name] = (
                told[0] or outcome.error or "the run ended before this scan was done"
            )
    if plan.clean:
        remove_results(graph, keep=[graph_name(name) for name in reasons])
    return _note(lot, reasons, crashes, plan, progress)


def _note(
    lot: Sequence[Scan],
    reasons: dict[str, str],
    crashes: dict[str, Sequence[Crash]],
    plan: Plan,
    progress: Progress,
) -> dict[str, Failure]:
    failures: dict[str, Failure] = {}
    for scan in lot:
        if scan.name not in reasons:
            continue
        files = [crash.crash_file for crash in crashes.get(scan.name, ())]
        root = plan.outputs.output_dir
        reason = reasons[scan.name] + _older(root, scan)
        link = str(files[0].relative_to(root)) if files else None
        failures[scan.name] = Failure(scan.name, reason, link)
        progress.note(f"{scan.name}: failed: {reason}")
        for path in files:
            progress.note(f"  crash file: {path}")
    return failures


def _older(output_dir: Path, scan: Scan) -> str:
    """Tell of outputs of an earlier run, which a failure leaves in place, and whether they hold."""
    if not is_finished(output_dir, scan):
        return ""
    wrong = verify_scan(output_dir, scan, scan.path)
    return (
        f" (its outputs of an earlier run were left in place, but {'; '.join(wrong)})"
        if wrong
        else " (its outputs of an earlier run were left in place)"
    )
