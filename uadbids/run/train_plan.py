"""What a training would do, by the same checks as the training itself; nothing is written."""

import math
from collections.abc import Iterable

import torch

from uadbids.bids.query import find_scans
from uadbids.bids.scan import Scan
from uadbids.errors import ScanError, UsageError
from uadbids.model.inference import resolve_device
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import check_image
from uadbids.run.cohort import counted, find_cohort, plan_cohort, who_is_in
from uadbids.run.progress import duration
from uadbids.run.train import CROP
from uadbids.run.train_settings import TrainOptions
from uadbids.training.rehearsal import rehearse
from uadbids.training.split import choose_held_out, subject_groups

# Preprocessing of one scan, of one core (docs/performance.md).
_SECONDS_A_SCAN = 20.0
# Of a scan in memory: its volume and two masks, a byte a voxel.
_SCAN_GB = 3 * math.prod(CROP.shape) / 1024**3


def plan_training(options: TrainOptions) -> list[str]:
    """Return lines: who is in, who is out and why, what it takes.

    UsageError where the training would end in one, for want of scans for example.
    """
    options.check(is_dry=True)
    cohort, run = options.cohort, options.run
    chosen = {scan.name: scan for scan in find_cohort(cohort)}
    out = {
        scan.name: scan.skip_reason or "--select does not take the participant"
        for scan in find_scans(cohort.bids_dir)
        if scan.name not in chosen
    }
    for name, scan in list(chosen.items()):
        try:
            check_image(scan.path)
        except ScanError as error:
            out[name] = str(error).removeprefix(f"{scan.path}: ")
            del chosen[name]
    scans = list(chosen.values())
    if not scans:
        raise UsageError(f"{cohort.bids_dir}: no scan can be used ({next(iter(out.values()))})")
    groups = choose_held_out(subject_groups(scans), options.split, cohort.bids_dir)
    members = plan_cohort(scans, cohort, PreprocConfig(), run)
    missing = sum(not member.path.is_file() for member in members)
    torch.set_num_threads(max(1, run.nprocs))
    cost = rehearse(options.network, options.config, CROP.shape, resolve_device(run.device))
    trainings = len(groups) + 1 if options.split.folds else 1
    seconds = trainings * options.config.steps * cost.seconds
    before = missing * _SECONDS_A_SCAN / max(1, min(run.nprocs, missing))
    memory = cost.memory_gb + len(scans) * _SCAN_GB
    return [
        *_who(scans, groups),
        *who_is_in(scans, groups)[1:],
        *(f"out: {name}: {reason}" for name, reason in sorted(out.items())),
        f"to preprocess: {missing} of {len(scans)} scans, about {duration(before)}",
        f"to train: {trainings} x {options.config.steps} steps of {cost.seconds:.2f} s, measured "
        f"on {run.device}: about {duration(seconds)}",
        *_reader(options),
        f"memory: about {memory:.1f} GB",
    ]


def _reader(options: TrainOptions) -> Iterable[str]:
    if options.reader and options.reader_training:
        yield (
            f"the reader of {options.reader.name} to train on: {options.reader_training.steps} "
            f"steps, not measured here (docs/training.md)"
        )


def _who(scans: list[Scan], groups: list[frozenset[str]]) -> Iterable[str]:
    if len(groups) > 1:
        yield f"in: {counted(scans)}, held out in {len(groups)} folds, then trained on together"
    else:
        held_out = [scan for scan in scans if scan.subject in groups[0]]
        fitted = [scan for scan in scans if scan.subject not in groups[0]]
        yield f"to train on: {counted(fitted)}: {', '.join(scan.name for scan in fitted)}"
        yield f"held out: {counted(held_out)}: {', '.join(scan.name for scan in held_out)}"
