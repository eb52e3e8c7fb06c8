"""Find scans, build the graph, run it, report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uadbids import __version__
from uadbids.bids.dataset import check_output_dir
from uadbids.bids.derivatives import is_finished, scan_files
from uadbids.bids.files import locked
from uadbids.bids.scan import Scan
from uadbids.detection.threshold import choose_threshold
from uadbids.errors import BundleError, UsageError
from uadbids.model.bundle import Card, find_bundle, verify_bundle
from uadbids.model.calibration import Calibration
from uadbids.pipeline.records import DeriveOptions, DetectOptions
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.template import Template
from uadbids.qc.facts import Facts
from uadbids.qc.flags import brain_mask_warnings
from uadbids.reports.page import Failure
from uadbids.run import longitudinal
from uadbids.run.closing import closing
from uadbids.run.examine import examine
from uadbids.run.options import Examination, RunOptions, StudyOptions
from uadbids.run.pages import write_pages, write_top_level
from uadbids.run.plan import changes, settings_of
from uadbids.run.progress import Progress
from uadbids.run.runlog import LOGGER, run_log, writing_to
from uadbids.run.setup import check_writable, lies_in_dataset

SPACES = ("orig", "template")


@dataclass(frozen=True)
class ParticipantOptions(StudyOptions):
    """What the participant level was asked for."""

    model: str = "dense3d"  # packaged bundle, or a folder
    settings: Mapping[str, Any] = field(default_factory=dict)  # threshold and the like, where given
    spaces: tuple[str, ...] = SPACES  # "orig" is always written
    keep_artefacts: bool = True
    sums_up: bool = True  # says in the end where pages and log are
    clean_work_dir: bool = False  # remove the intermediate results of scans that are done
    longitudinal: bool = False  # compare the sessions of each participant, too


def check(options: ParticipantOptions) -> tuple[Path, Card]:
    """Refuse what cannot work before anything is computed; return the bundle and its card.

    UsageError for an output folder in or equal to the dataset, or of another kind, unknown spaces,
    or a threshold that does not exist; BundleError for a bundle that is not there, or made for
    another template.
    """
    if lies_in_dataset(options.output_dir, options.bids_dir):
        raise UsageError(
            f"the output folder {options.output_dir} lies inside the dataset; choose one outside, "
            f"or below {options.bids_dir / 'derivatives'}"
        )
    if unknown := sorted(set(options.spaces) - set(SPACES)):
        raise UsageError(
            f"--output-spaces {unknown[0]}: choose of orig, the grid of the scan, and template, an "
            "MNI152 grid of 1 mm to which scans are rigidly aligned"
        )
    check_output_dir(options.output_dir)
    with writing_to(options.output_dir):
        check_writable(options.output_dir)
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


def participant(
    options: ParticipantOptions, scans: Sequence[Scan], bundle: Path, card: Card, run: RunOptions
) -> int:
    """Process scans, write derivatives and pages; return 0, or 1 when a scan failed."""
    if all(scan.skip_reason for scan in scans):
        raise UsageError(
            f"none of the {len(scans)} FLAIR scans can be processed (the first, {scans[0].name}: "
            f"{scans[0].skip_reason}); --dry-run names the reason of each"
        )
    with run_log(options.output_dir, options.request, run.run_uuid) as log:
        log.status = _participant(options, scans, bundle, card, run)
    return log.status


def _participant(
    options: ParticipantOptions, scans: Sequence[Scan], bundle: Path, card: Card, run: RunOptions
) -> int:
    from uadbids.run.scheduler.graph import graph_name

    for scan in scans:
        LOGGER.info("%s: found, %s", scan.name, scan.relative_path)
    runnable = [scan for scan in scans if scan.skip_reason is None]
    run = run.for_scans(len(runnable))
    write_top_level(options, card, sorted({scan.subject for scan in runnable}))
    started = datetime.now(UTC)
    progress = Progress({graph_name(scan.name): scan.name for scan in runnable})
    _announce(progress, card, run, len(runnable))
    refused = _tell_set_aside(progress, scans)
    wanted = settings_of(card, run, options.settings)
    for scan in runnable:
        if is_finished(options.output_dir, scan) and (
            changed := changes(options.output_dir, scan, wanted, run)
        ):
            progress.note(
                f"{scan.name}: overwrites outputs of other settings ({', '.join(changed)})"
            )

    values = {
        "UadbidsVersion": __version__,
        "Model": card.name,
        "ModelSHA256": card.sha256,
        "RandomSeed": run.random_seed,
        "MaskHoldsArtefacts": options.keep_artefacts,
    }
    plan = Examination(
        bids_dir=options.bids_dir,
        run=run,
        preprocess=run.preprocess(PreprocConfig.from_dict(card.preproc)),
        detect=DetectOptions(bundle.resolve(), card.identity, dict(options.settings), run.compute),
        derive=DeriveOptions(
            options.output_dir.resolve(),
            bundle.resolve(),
            options.spaces,
            Facts(values),
            tuple(card.training.get("brain_mask_methods", ())),
            options.keep_artefacts,
        ),
        clean=options.clean_work_dir,
    )
    with progress:
        failed = examine(runnable, plan, progress)
    apart: Mapping[str, str] = {}
    if options.longitudinal:
        apart = longitudinal.compare(
            scans, {name: failure.reason for name, failure in failed.items()}, plan
        )

    done = [scan for scan in runnable if scan.name not in failed]
    for scan in done:
        _log_files(options.output_dir, scan)
    lost = refused + [(scan, failed[scan.name]) for scan in runnable if scan.name in failed]
    failures: dict[str, list[Failure]] = {}
    for scan, failure in lost:
        failures.setdefault(scan.subject, []).append(failure)
    examined = sorted({s.subject for s in runnable} | failures.keys())
    written = True
    try:
        # Another run into this folder writes the same tables: one after the other, none is lost.
        with locked(options.output_dir):
            write_top_level(options, card, examined)
            write_pages(options.output_dir, card, examined, failures, started)
    except (OSError, UsageError) as error:
        written = False
        progress.note(f"tables and pages are not up to date: {error}; --reports-only makes them")
    without = [scan.name for scan, _ in lost]
    for sentence in closing(options, done, without, run.run_uuid) if options.sums_up else ():
        progress.note(sentence)
    asked = len(done) + len(lost)
    progress.note(
        f"done: {len(done)} of {asked}, failed: {len(lost)}, skipped: {len(scans) - asked}"
    )
    return 0 if written and not lost and not apart else 1


def _log_files(output_dir: Path, scan: Scan) -> None:
    files = [str(path.relative_to(output_dir)) for path in scan_files(output_dir, scan)]
    LOGGER.info("%s: finished, %d files written", scan.name, len(files))
    LOGGER.debug("%s: files: %s", scan.name, ", ".join(files))


def _tell_set_aside(progress: Progress, scans: Sequence[Scan]) -> list[tuple[Scan, Failure]]:
    """Tell which scans are skipped, and which are refused: those count as failed."""
    refused = []
    for scan in scans:
        if scan.skip_reason is not None:
            word = "failed:" if scan.is_refused else "skipped,"
            progress.note(f"{scan.name}: {word} {scan.skip_reason}")
        if scan.is_refused:
            refused.append((scan, Failure(scan.name, str(scan.skip_reason), None)))
    return refused


def _announce(progress: Progress, card: Card, run: RunOptions, n_scans: int) -> None:
    automatic = "hd-bet" if run.hd_bet_weights else "deepbet"
    brain = automatic if run.skull_strip == "auto" else run.skull_strip
    progress.note(f"uadbids {__version__}")
    progress.note(f"FLAIR scans: {n_scans}, model: {card.name}, device: {run.device}")
    LOGGER.info("model %s, SHA-256 %s", card.name, card.sha256)
    progress.note(f"brain masks: {brain} (--skull-strip {run.skull_strip})")
    trained_with = card.training.get("brain_mask_methods", [])
    for sentence in brain_mask_warnings({"BrainMaskMethod": brain}, trained_with):
        progress.note(f"warning: {sentence}")
    progress.note("research use only, not a medical device")
