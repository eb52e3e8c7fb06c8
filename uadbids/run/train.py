"""Healthy scans -> volumes -> fit -> calibrate -> bundle."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console

from uadbids import __version__
from uadbids.errors import UsageError
from uadbids.evaluation.reference import Reference
from uadbids.model.bundle import Bundle, Card, load_bundle, save_bundle
from uadbids.model.calibration import Calibration
from uadbids.model.card import ReaderCard
from uadbids.model.config import DetectionConfig, TrainConfig
from uadbids.model.grid import TEMPLATE_SHAPE, Crop
from uadbids.model.inference import resolve_device
from uadbids.model.vae import VAE
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.template import Template
from uadbids.run.cohort import Member, find_cohort, make_ready, plan_cohort, who_is_in
from uadbids.run.models import thresholds
from uadbids.run.progress import TrainingProgress, waiting
from uadbids.run.runlog import LOGGER, run_log, say, terminal
from uadbids.run.train_reader import train_reader
from uadbids.run.train_settings import TrainOptions
from uadbids.run.training_report import Trained, write_report
from uadbids.training.distributed import World, joined
from uadbids.training.fit import fit
from uadbids.training.healthy import calibrate_on, measure_on
from uadbids.training.split import choose_held_out, subject_groups

# The 80 axial slices with the most brain in them (z = -28 to 51 mm); the paper keeps the
# central 75, "for which brain tissue is abundant", and four halvings need a multiple of 16.
CROP = Crop((5, 6, 52), (160, 192, 80))
FINAL = "final"


def train(options: TrainOptions) -> Path | None:
    """Train a model on healthy scans; write its bundle, whose folder is returned, and a report.

    A process of torchrun that only helped to train gets None. Stopped by KeyboardInterrupt, the
    same call goes on from the checkpoint. UsageError when no scan is left to train on or to hold
    out, or no lesion mask fits a scan; BundleError when other things than a bundle lie where the
    bundle is to go.
    """
    options.check()
    with joined(resolve_device(options.run.device)) as world:
        if not world.leads:
            return _train(options, world)
        with run_log(options.output_dir, options.request, options.run.run_uuid):
            folder = _train(options, world)
            LOGGER.info("%s written", folder)
            return folder


def _train(options: TrainOptions, world: World) -> Path | None:
    # Refuses a batch that cannot be shared out now, not after hours of preprocessing.
    world.share(range(options.config.batch_size))
    console = terminal(quiet=not world.leads)
    cohort, preproc = options.cohort, PreprocConfig()
    with waiting(f"looking for scans in {cohort.bids_dir}", console):
        scans = find_cohort(cohort)
        groups = choose_held_out(subject_groups(scans), options.split, cohort.bids_dir)
    say(console, f"uadbids {__version__}, {options.name}, device: {world.device}")
    for line in who_is_in(scans, groups):
        say(console, line)
    plan = plan_cohort(scans, cohort, preproc, options.run)
    if world.leads:
        make_ready(plan, options.run, console)
    world.wait()
    members = [member for member in plan if member.path.is_file()]
    trainer = _Trainer(options, members, console, world)
    trainer.check(groups)

    if options.split.folds:
        tried = [
            trainer.train(f"fold {number} of {len(groups)}", group, options.config)
            for number, group in enumerate(groups, start=1)
        ]
        final = trainer.train(FINAL, frozenset(), _final_config(tried, options.config))
    else:
        tried = [trainer.train(FINAL, groups[0], options.config)]
        final = tried[0]
    if not world.leads:
        return None

    lender = load_bundle(options.reader, device=world.device) if options.reader else None
    reader = lender.reader if lender else None
    about_reader = _lent(lender.card) if lender else None
    if lender and options.reader_training:
        reader, about_reader = train_reader(
            lender, final.model, CROP, final.fitted, options.reader_training,
            options.run.work_dir / options.name, seed=options.config.seed,
            workers=max(1, options.run.nprocs - 1), device=world.device, resume=options.resume,
            console=console,
        )  # fmt: skip
    detection = lender.card.detection if lender else DetectionConfig()
    pairs = ((member.load(), model) for item in tried for member, model in item.tested)
    say(console, "calibration on what was held out")
    healthy_maps = Reference(TEMPLATE_SHAPE)
    calibration = calibrate_on(
        pairs, CROP, detection, world.device, maps=healthy_maps, reader=reader
    )
    card = Card(
        name=options.name,
        config=options.network,
        crop=CROP,
        preproc=preproc.to_dict(),
        detection=detection,
        template_sha256=Template.packaged().sha256(),
        training=_training(options, trainer.brain_mask_methods, tried, final, calibration),
        calibration=calibration.to_dict(),
        results={},
        limits=tuple(options.about.get("limits", ())),
        license=str(options.about.get("license", "not stated")),
        reader=about_reader,
    )
    bundle = Bundle(card, final.model, calibration, reader)
    say(console, "measuring what the model finds and how well it rebuilds, in every scan")
    bundle = replace(bundle, card=_with_measures(bundle, tried, final, world.device))
    save_bundle(bundle, options.bundle_dir)
    trained = [final, *tried] if options.split.folds else tried
    write_report(options.report_dir, trained, bundle, healthy_maps, world.device)
    _report(console, final, calibration, options.report_dir)
    return options.bundle_dir


class _Trainer:
    """Trains on parts of a cohort, whose tensors are read once."""

    def __init__(
        self, options: TrainOptions, members: Sequence[Member], console: Console, world: World
    ) -> None:
        self._world = world
        self._options, self._console = options, console
        self._members: list[Member] = []
        self._samples, methods = {}, set()
        for member in members:
            healthy = member.load()
            sample = healthy.sample(CROP)
            if not (sample.mask.bool() & sample.weight.bool()).any():
                # Held out, its error would be none, and no epoch the best.
                why = "has no healthy brain in the slices that are learnt"
                say(console, f"left out: {member.name} {why}")
                continue
            self._members.append(member)
            self._samples[member.name] = sample
            methods.add(healthy.brain_mask_method)
        self.brain_mask_methods = sorted(methods - {""})

    def check(self, groups: Sequence[frozenset[str]]) -> None:
        """Refuse a split of which scans that were left out made one side empty."""
        for group in groups:
            if {member.subject in group for member in self._members} != {True, False}:
                raise UsageError(
                    f"{self._options.cohort.bids_dir}: no scan is left to train on, or to hold out"
                )

    def train(self, label: str, held_out: frozenset[str], config: TrainConfig) -> Trained:
        """Train on everybody but those held out."""
        options = self._options
        fitted = tuple(m for m in self._members if m.subject not in held_out)
        validation = tuple(m for m in self._members if m.subject in held_out)
        torch.manual_seed(config.seed)
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, options.run.nprocs // beside))
        model = VAE(options.network)
        title = f"{options.name}, {label}"
        counts = f"{len(fitted)} scans to train on, {len(validation)} held out"
        say(self._console, f"{title}: {counts}")
        with TrainingProgress(title, config, self._console) as progress:
            history = fit(
                model,
                [self._samples[member.name] for member in fitted],
                [self._samples[member.name] for member in validation],
                config,
                device=self._world.device,
                checkpoint=self._checkpoint(label, title),
                fresh=not options.resume,
                on_step=progress.step,
                on_epoch=progress.epoch,
                on_note=progress.note,
            )
        return Trained(label, config, model, history, fitted, validation)

    def _checkpoint(self, label: str, title: str) -> Path:
        """File of a training's checkpoint; says what becomes of one that is there."""
        options = self._options
        part = "" if label == FINAL else f"_{label.replace(' ', '-')}"
        path = options.run.work_dir / f"{options.name}{part}.pt"
        if path.exists():
            way = "goes on from" if options.resume else "starts over, without"
            say(self._console, f"{title}: {way} {path}")
        return path


def _lent(card: Card) -> ReaderCard | None:
    """Say of a reader whose bundle it comes from."""
    if card.reader is None:
        return None
    return replace(card.reader, training={**card.reader.training, "taken_from": card.name})


def _final_config(tried: Sequence[Trained], config: TrainConfig) -> TrainConfig:
    """Train on everybody for as long as was best, on average, for those held out."""
    best = fmean(item.best.step for item in tried)
    epochs = max(1, round(best / config.epoch_steps))
    return replace(config, steps=epochs * config.epoch_steps)


def _training(
    options: TrainOptions,
    brain_mask_methods: Sequence[str],
    tried: Sequence[Trained],
    final: Trained,
    calibration: Calibration,
) -> dict[str, Any]:
    """Return what the card says of a training."""
    held_out = [member for item in tried for member in item.held_out]
    about = {k: v for k, v in options.about.items() if k not in ("license", "limits")}
    folds = [{"best_step": i.best.step, "held_out_mae": i.best.val_mae} for i in tried]
    return {
        **about,
        "uadbids_version": __version__,
        "select": options.cohort.select or "",
        "brain_mask_methods": list(brain_mask_methods),
        "n_scans": len(final.fitted),
        "n_subjects": len({member.subject for member in final.fitted}),
        "n_held_out_scans": len(held_out),
        "n_held_out_subjects": len({member.subject for member in held_out}),
        "lesions_excluded": options.cohort.lesion_masks is not None,
        "hyperintense_excluded": options.cohort.exclude_hyperintense,
        "config": asdict(final.config),
        "folds": folds if options.split.folds else [],
        "best_step": final.best.step,
        "held_out_mae": fmean(item.best.val_mae for item in tried),
        "active_units": final.best.active_units,
        "collapsed": final.history.collapsed,
        "thresholds": thresholds(calibration),
    }


def _with_measures(
    bundle: Bundle, tried: Sequence[Trained], final: Trained, device: torch.device
) -> Card:
    """Return the card with what is usual for this model: errors, and findings in held-out scans."""
    groups = {
        "held_out": [pair for item in tried for pair in item.tested],
        "trained_on": [(member, final.model) for member in final.fitted],
    }
    measured = {
        group: measure_on(((member.load(), model) for member, model in pairs), bundle, device)
        for group, pairs in groups.items()
    }
    training = {
        **bundle.card.training,
        "reconstruction_errors": {group: found.errors for group, found in measured.items()},
        "healthy_finding_ml": measured["held_out"].finding_ml,
    }
    return replace(bundle.card, training=training)


def _report(console: Console, final: Trained, calibration: Calibration, report: Path) -> None:
    """Say what came out, and where to look at it."""
    if final.history.collapsed:
        say(console, "the code carries nothing (collapse): reconstructions are all the same brain")
    rates = (f"{value:.4f} ({float(rate):.1%})" for rate, value in thresholds(calibration).items())
    say(console, f"thresholds, and the share of healthy voxels above them: {', '.join(rates)}")
    say(console, f"history, curves and reconstructions: {report}")
