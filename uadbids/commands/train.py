"""Healthy scans -> volumes -> fit -> calibrate -> bundle."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from uadbids import __version__
from uadbids.bids.masks import LESIONS, find_mask
from uadbids.bids.query import Scan, find_scans
from uadbids.bundle import Bundle, Card, refuse_foreign, save_bundle
from uadbids.commands.progress import Progress
from uadbids.commands.setup import is_inside
from uadbids.core.card import NAME
from uadbids.core.config import MODELS, DetectionConfig, TrainConfig
from uadbids.core.grid import Crop
from uadbids.core.inference import resolve_device
from uadbids.core.models import VAE
from uadbids.core.training import Epoch, History, fit
from uadbids.errors import UsageError
from uadbids.healthy import Healthy, calibrate_on, read_healthy
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.grid import Template
from uadbids.workflows.cohort import Preprocessed, Source, preprocess_cohort
from uadbids.workflows.engine import graph_name
from uadbids.workflows.options import RunOptions

# The 80 axial slices with the most brain in them (z = -28 to 51 mm); the paper keeps the
# central 75, "for which brain tissue is abundant", and four halvings need a multiple of 16.
CROP_START = (5, 6, 52)


@dataclass(frozen=True)
class TrainOptions:
    """What `train` was asked for.

    Attributes
    ----------
    bids_dir, output_dir : Path
        Healthy cohort, and where the bundle goes (``<output_dir>/<name>``).
    model : str
        One of `MODELS`.
    name : str
        Name of the bundle.
    lesion_masks : Path or None
        BIDS (derivative) dataset with masks of voxels that are not healthy.
    exclude_hyperintense : bool
        Leave out voxels that are too bright for healthy tissue where no mask was given.
    validation_labels : tuple of str
        Participants held out; empty for a seeded draw of `validation_fraction`.
    validation_fraction : float
        Share of participants to hold out.
    about : mapping
        What the card shall say: sources, license, limits.
    config : TrainConfig
        Steps, seed and so on.
    run : RunOptions
        How to preprocess, and on which device to train.
    """

    bids_dir: Path
    output_dir: Path
    model: str
    name: str
    lesion_masks: Path | None
    exclude_hyperintense: bool
    validation_labels: tuple[str, ...]
    validation_fraction: float
    about: Mapping[str, Any]
    config: TrainConfig
    run: RunOptions


def read_about(path: Path | None) -> dict[str, Any]:
    """Read what the card shall tell: sources, licence, limits.

    Raises
    ------
    UsageError
        When the file is no JSON object.
    """
    if path is None:
        return {}
    try:
        about = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(about, dict):
        raise UsageError(f"{path}: a JSON object is needed")
    if not isinstance(about.get("limits", []), list):
        raise UsageError(f"{path}: 'limits' must be a list of sentences")
    return about


def train_config(steps: int, epoch_steps: int, corruption: bool, seed: int) -> TrainConfig:
    """Return the settings of a training.

    Raises
    ------
    UsageError
        When the numbers of steps do not divide.
    """
    try:
        return TrainConfig(steps=steps, epoch_steps=epoch_steps, corruption=corruption, seed=seed)
    except ValueError as error:
        raise UsageError(f"--steps, --epoch-steps: {error}") from error


def train(options: TrainOptions) -> Path:
    """Train a model on healthy scans and write its bundle.

    Parameters
    ----------
    options : TrainOptions
        What to train on and how.

    Returns
    -------
    Path
        Folder of the bundle.

    Raises
    ------
    UsageError
        When no scan is left to train on or to hold out, or no lesion mask fits a scan.
    BundleError
        When other things than a bundle lie where the bundle is to go.
    """
    folder = options.output_dir / options.name
    _check(options, folder)
    preproc, crop = PreprocConfig(), Crop(CROP_START, (160, 192, 80))
    scans = [scan for scan in find_scans(options.bids_dir) if scan.skip_reason is None]
    held_out = choose_held_out(scans, options)
    sources = _sources(scans, options)
    progress = Progress({graph_name(scan.name): scan.name for scan in scans}, last="collect")
    with progress:
        ready = _preprocess(sources, preproc, options, progress)
    subjects = {scan.name: scan.subject for scan in scans}
    healthy = [
        read_healthy(item, subjects[item.name], options.exclude_hyperintense, options.config.seed)
        for item in ready
    ]
    fitted = [item for item in healthy if item.subject not in held_out]
    kept_back = [item for item in healthy if item.subject in held_out]
    if not fitted or not kept_back:
        raise UsageError(f"{options.bids_dir}: no scan is left to train on, or to hold out")

    torch.manual_seed(options.config.seed)
    torch.set_num_threads(options.run.nprocs)
    device = resolve_device(options.run.device)
    model = VAE(MODELS[options.model])
    history = fit(
        model,
        [item.sample(crop) for item in fitted],
        [item.sample(crop) for item in kept_back],
        options.config,
        device=device,
        checkpoint=options.run.work_dir / f"{options.name}.pt",
        on_epoch=lambda epoch: progress.note(describe(epoch, options.config)),
    )
    detection = DetectionConfig()
    calibration = calibrate_on(kept_back, model, crop, detection, device)
    card = Card(
        name=options.name,
        config=MODELS[options.model],
        crop=crop,
        preproc=preproc.to_dict(),
        detection=detection,
        template_sha256=Template.packaged().sha256(),
        training=_training(options, ready, fitted, kept_back, history),
        calibration=calibration.to_dict(),
        results={},
        limits=tuple(options.about.get("limits", ())),
        license=str(options.about.get("license", "not stated")),
    )
    options.output_dir.mkdir(parents=True, exist_ok=True)
    save_bundle(Bundle(card, model, calibration), folder)
    return folder


def choose_held_out(scans: Sequence[Scan], options: TrainOptions) -> frozenset[str]:
    """Split by participant, so that no brain is on both sides."""
    subjects = sorted({scan.subject for scan in scans})
    if options.validation_labels:
        labels = {label.removeprefix("sub-") for label in options.validation_labels}
        unknown = ", ".join(sorted(labels - set(subjects)))
        if unknown:
            raise UsageError(f"--validation-label: no FLAIR of {unknown} in {options.bids_dir}")
        if labels == set(subjects):
            raise UsageError("--validation-label: nobody is left to train on")
        return frozenset(labels)
    if len(subjects) < 2:
        raise UsageError(
            f"{options.bids_dir}: at least two participants are needed, one of them to hold out"
        )
    count = min(max(1, round(options.validation_fraction * len(subjects))), len(subjects) - 1)
    return frozenset(random.Random(options.config.seed).sample(subjects, count))


def describe(epoch: Epoch, config: TrainConfig) -> str:
    """Return one line about an epoch."""
    left = (config.steps - epoch.step) / config.epoch_steps * epoch.seconds
    return (
        f"step {epoch.step}/{config.steps}  L1 {epoch.reconstruction:.4f}  KL {epoch.kl:.4f}  "
        f"beta {epoch.beta:.2f}  active units {epoch.active_units}  held-out MAE "
        f"{epoch.val_mae:.4f}  {left:.0f} s left"
    )


def _check(options: TrainOptions, folder: Path) -> None:
    """Refuse before hours of training what would fail at their end."""
    if options.model not in MODELS:
        raise UsageError(f"--model {options.model}: choose one of {', '.join(sorted(MODELS))}")
    if not NAME.fullmatch(options.name):
        raise UsageError(f"--name {options.name!r}: give letters, digits, '.', '_' and '-'")
    if is_inside(options.output_dir, options.bids_dir):
        raise UsageError(f"the output folder {options.output_dir} lies inside the dataset")
    refuse_foreign(folder)


def _sources(scans: Sequence[Scan], options: TrainOptions) -> list[Source]:
    masks = options.lesion_masks
    sources = [
        Source(
            scan.name,
            scan.path,
            scan.metadata,
            None if masks is None else find_mask(masks, scan, LESIONS),
        )
        for scan in scans
    ]
    if masks is not None and not any(source.lesions for source in sources):
        raise UsageError(f"--lesion-masks {masks}: there is no lesion mask of any scan in it")
    return sources


def _preprocess(
    sources: Sequence[Source], preproc: PreprocConfig, options: TrainOptions, progress: Progress
) -> list[Preprocessed]:
    log_dir = options.run.work_dir / "log"
    ready, crashes = preprocess_cohort(sources, preproc, options.run, log_dir, progress.step)
    for crash in crashes:
        progress.note(f"left out: {crash.reason} ({crash.crash_file})")
    return ready


def _training(
    options: TrainOptions,
    ready: Sequence[Preprocessed],
    fitted: Sequence[Healthy],
    kept_back: Sequence[Healthy],
    history: History,
) -> dict[str, Any]:
    methods = sorted(
        {
            fact["BrainMaskMethod"]
            for item in ready
            for fact in item.facts
            if "BrainMaskMethod" in fact
        }
    )
    best = history.epochs[history.best]
    return {
        **{key: value for key, value in options.about.items() if key not in ("license", "limits")},
        "uadbids_version": __version__,
        "brain_mask_methods": sorted(methods),
        "n_scans": len(fitted),
        "n_subjects": len({item.subject for item in fitted}),
        "n_held_out_scans": len(kept_back),
        "n_held_out_subjects": len({item.subject for item in kept_back}),
        "lesions_excluded": options.lesion_masks is not None,
        "hyperintense_excluded": options.exclude_hyperintense,
        "config": asdict(options.config),
        "best_step": best.step,
        "held_out_mae": best.val_mae,
        "active_units": best.active_units,
        "collapsed": history.collapsed,
    }
