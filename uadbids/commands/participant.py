"""Find scans, build the graph, run it, report."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from uadbids import __version__
from uadbids.bids.dataset import (
    check_output_dir,
    container_from_environment,
    write_dataset,
)
from uadbids.bids.derivatives import is_finished
from uadbids.bids.flags import brain_mask_warnings
from uadbids.bids.masks import BRAIN, find_mask
from uadbids.bids.names import log_dir
from uadbids.bids.query import Scan, find_scans, read_filters
from uadbids.bundle import Card, find_bundle, verify_bundle
from uadbids.commands.pages import write_pages
from uadbids.commands.progress import Progress
from uadbids.commands.setup import is_inside
from uadbids.core.calibration import Calibration
from uadbids.core.threshold import choose_threshold
from uadbids.errors import BundleError, UsageError
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.grid import Template
from uadbids.reports.page import Failure
from uadbids.workflows.options import RunOptions

if TYPE_CHECKING:
    from uadbids.workflows.engine import Crash

SPACES = ("orig", "template")


@dataclass(frozen=True)
class ParticipantOptions:
    """What the participant level was asked for.

    Attributes
    ----------
    bids_dir, output_dir : Path
        Dataset and derivatives.
    participant_labels, session_labels : tuple of str
        Selection; empty for all.
    filter_file, database_dir : Path or None
        pybids filters and index.
    model : str
        Name of a packaged bundle, or a folder.
    settings : mapping
        Threshold and the like, where given.
    spaces : tuple of str
        ``orig`` (always written), ``template``.
    clean_work_dir : bool
        Remove the intermediate results of a run without failures.
    """

    bids_dir: Path
    output_dir: Path
    participant_labels: tuple[str, ...] = ()
    session_labels: tuple[str, ...] = ()
    filter_file: Path | None = None
    database_dir: Path | None = None
    model: str = "dense3d"
    settings: Mapping[str, Any] = field(default_factory=dict)
    spaces: tuple[str, ...] = SPACES
    clean_work_dir: bool = False


def check(options: ParticipantOptions) -> tuple[Path, Card]:
    """Refuse what cannot work before anything is computed.

    Returns
    -------
    Path, Card
        The bundle and its card.

    Raises
    ------
    UsageError
        For an output folder in or equal to the dataset, or of another kind; unknown spaces; a
        threshold that does not exist.
    BundleError
        For a bundle that is not there, or made for another template.
    """
    if is_inside(options.output_dir, options.bids_dir) and not _is_derivatives(options):
        raise UsageError(
            f"the output folder {options.output_dir} lies inside the dataset; choose one outside, "
            f"or below {options.bids_dir / 'derivatives'}"
        )
    if set(options.spaces) - set(SPACES):
        raise UsageError(f"--output-spaces: choose of {', '.join(SPACES)}")
    check_output_dir(options.output_dir)
    bundle = find_bundle(options.model)
    card = verify_bundle(bundle)
    if card.template_sha256 != Template.packaged().sha256():
        raise BundleError(
            f"{bundle}: the model was trained on another template than this version's; use the "
            "version of uadbids that made it"
        )
    PreprocConfig.from_dict(card.preproc)
    # A threshold that cannot be had is a mistake of the command line, not of a hundred scans.
    choose_threshold(
        Calibration.from_dict(card.calibration), card.detection, **dict(options.settings)
    )
    return bundle, card


def select(options: ParticipantOptions) -> list[Scan]:
    """Find the FLAIR scans that were asked for."""
    filters = read_filters(options.filter_file) if options.filter_file else None
    return find_scans(
        options.bids_dir,
        participant_label=options.participant_labels or None,
        session_label=options.session_labels or None,
        filters=filters,
        database_dir=options.database_dir,
    )


def show_plan(scans: Sequence[Scan]) -> None:
    """Print what a run would do with each scan (``--dry-run``)."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table("scan", "run or skip", "why", box=None)
    for scan in scans:
        reason = scan.skip_reason
        table.add_row(scan.name, "skip" if reason else "run", reason or "FLAIR", style=None)
    console.print(table)
    console.print(f"{sum(s.skip_reason is None for s in scans)} of {len(scans)} scans would run")


def participant(
    options: ParticipantOptions, scans: Sequence[Scan], bundle: Path, card: Card, run: RunOptions
) -> int:
    """Process scans and write derivatives and pages.

    Returns
    -------
    int
        Exit status: 0, or 1 when a scan failed.
    """
    from uadbids.workflows.base import OutputOptions, init_uadbids_wf
    from uadbids.workflows.detect import ModelOptions
    from uadbids.workflows.engine import graph_name, read_crashes, remove_results, run_graph

    if all(scan.skip_reason for scan in scans):
        raise UsageError(
            f"none of the {len(scans)} FLAIR scans can be processed (the first, {scans[0].name}: "
            f"{scans[0].skip_reason}); --dry-run tells why of each"
        )
    examined = sorted({scan.subject for scan in scans if scan.skip_reason is None})
    write_top_level(options, card, examined)
    started = datetime.now(UTC)
    run_uuid = f"{started:%Y%m%d-%H%M%S}_{uuid.uuid4()}"
    runnable = [scan for scan in scans if scan.skip_reason is None]
    progress = Progress({graph_name(scan.name): scan.name for scan in runnable})
    for scan in scans:
        if scan.skip_reason is not None:
            progress.note(f"{scan.name}: skipped, {scan.skip_reason}")
    _announce(progress, card, run, len(runnable))

    outputs = OutputOptions(
        output_dir=options.output_dir.resolve(),
        spaces=options.spaces,
        run_uuid=run_uuid,
        facts={
            "UadbidsVersion": __version__,
            "Model": card.name,
            "ModelSHA256": card.sha256,
            "RandomSeed": run.random_seed,
        },
        trained_with=tuple(card.training.get("brain_mask_methods", ())),
    )
    ready, unclear = _given_masks(options, runnable, run)
    graph = init_uadbids_wf(
        ready,
        PreprocConfig.from_dict(card.preproc),
        ModelOptions(bundle.resolve(), card.identity, dict(options.settings)),
        run,
        outputs,
    )
    with progress:
        outcome = run_graph(graph, run, progress.step)

    failures: dict[str, list[Failure]] = {}
    for scan in runnable:
        if (graph_name(scan.name), "write") in outcome.ended:
            continue
        folder = options.output_dir / log_dir(scan.subject, run_uuid)
        crashes = [c for c in read_crashes(folder) if c.graph == graph_name(scan.name)]
        error = unclear.get(scan.name, outcome.error)
        failure = _failure(scan, crashes, error, options.output_dir)
        failures.setdefault(scan.subject, []).append(failure)
        progress.note(f"{scan.name}: failed: {failure.reason}")
        for crash in crashes:
            progress.note(f"  crash file: {crash.crash_file}")
    write_top_level(options, card, examined)
    write_pages(options.output_dir, card, examined, failures, started)
    n_failed = sum(map(len, failures.values()))
    progress.note(f"done: {len(runnable) - n_failed} of {len(runnable)}, failed: {n_failed}")
    if options.clean_work_dir and not n_failed:
        remove_results(graph)
    return 1 if n_failed else 0


def _failure(scan: Scan, crashes: Sequence[Crash], error: str, output_dir: Path) -> Failure:
    reason = crashes[0].reason if crashes else error or "the run ended before this scan was done"
    if is_finished(output_dir, scan):
        reason += " (its outputs of an earlier run were left in place)"
    link = str(crashes[0].crash_file.relative_to(output_dir)) if crashes else None
    return Failure(scan.name, reason, link)


def write_top_level(
    options: ParticipantOptions, card: Card, subjects: Sequence[str] | None = None
) -> None:
    """Write what belongs to no single scan; the tables of scans of some participants, or of all.

    Raises
    ------
    UsageError
        When the output folder cannot be written.
    """
    template = Template.packaged()
    try:
        write_dataset(
            options.output_dir,
            options.bids_dir,
            version=__version__,
            card=card.to_dict(),
            template_t1w=template.t1w,
            template_mask=template.brain_mask,
            container=container_from_environment(os.environ),
            subjects=subjects,
        )
    except OSError as error:
        raise UsageError(
            f"the output folder {options.output_dir} cannot be written "
            f"({error.strerror}: {error.filename})"
        ) from error


def _given_masks(
    options: ParticipantOptions, scans: Sequence[Scan], run: RunOptions
) -> tuple[list[tuple[Scan, Path | None]], dict[str, str]]:
    """Pair scans with the brain masks of the dataset; tell where more than one mask fits."""
    ready: list[tuple[Scan, Path | None]] = []
    unclear: dict[str, str] = {}
    for scan in scans:
        try:
            wanted = run.skull_strip == "mask"
            ready.append((scan, find_mask(options.bids_dir, scan, BRAIN) if wanted else None))
        except UsageError as error:
            unclear[scan.name] = str(error)
    return ready, unclear


def _is_derivatives(options: ParticipantOptions) -> bool:
    """BIDS keeps derivatives in ``derivatives/<pipeline>`` of the dataset; that is no accident."""
    folder = (options.bids_dir / "derivatives").resolve()
    return options.output_dir.resolve() != folder and is_inside(options.output_dir, folder)


def _announce(progress: Progress, card: Card, run: RunOptions, n_scans: int) -> None:
    automatic = "hd-bet" if run.hd_bet_weights else "deepbet"
    brain = automatic if run.skull_strip == "auto" else run.skull_strip
    progress.note(f"uadbids {__version__}")
    progress.note(f"FLAIR scans: {n_scans}, model: {card.name}, device: {run.device}")
    progress.note(f"brain masks: {brain} (--skull-strip {run.skull_strip})")
    trained_with = card.training.get("brain_mask_methods", [])
    for sentence in brain_mask_warnings({"BrainMaskMethod": brain}, trained_with):
        progress.note(f"warning: {sentence}")
    progress.note("research use only, not a medical device")
