"""The scans of a healthy cohort, preprocessed once and kept for every training on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from rich.console import Console

from uadbids.bids.masks import BRAIN, LESIONS, find_mask
from uadbids.bids.query import Scan, find_scans
from uadbids.bids.select import select_participants
from uadbids.errors import UsageError
from uadbids.pipeline.records import HealthyOptions
from uadbids.preproc.config import PreprocConfig
from uadbids.run.claims import Claims
from uadbids.run.options import RunOptions
from uadbids.run.progress import Progress
from uadbids.run.runlog import say
from uadbids.training.healthy import Healthy, load_healthy

if TYPE_CHECKING:
    from uadbids.run.scheduler.nodes import Step

# At 4 as many voxels are taken as in masks of white-matter hyperintensities of the same kind of
# scan; at 3 three times as many, much of it bright normal cortex that has to be learnt.
BRIGHT_Z = 4.0
_SECONDS = 1.0
# Participants below which a training warns: fewer to train on were not tried, and fewer held out
# leave the threshold to chance (docs/training.md, measured by benchmarks/training_size.py).
FEWEST_TRAINED_ON = FEWEST_HELD_OUT = 5


@dataclass(frozen=True)
class CohortOptions:
    """Which scans to learn from, and what of them."""

    bids_dir: Path  # healthy cohort
    select: str | None = None  # condition on the columns of ``participants.tsv``
    lesion_masks: Path | None = None  # BIDS (derivative) dataset, masks of voxels not healthy
    # Leave out voxels that are too bright for healthy tissue where no mask was given.
    exclude_hyperintense: bool = False


@dataclass(frozen=True)
class Member:
    """A scan of the cohort."""

    name: str
    subject: str
    path: Path  # file of its `Healthy`, which is there or will be
    nodes: tuple[Step, ...] = field(default=(), compare=False, repr=False)  # that make it

    def load(self) -> Healthy:
        """Read the scan."""
        return load_healthy(self.path)


def find_cohort(options: CohortOptions) -> list[Scan]:
    """Find the scans to learn from; none of them is opened. UsageError when there is none."""
    scans = [scan for scan in find_scans(options.bids_dir) if scan.skip_reason is None]
    if options.select is not None:
        labels = select_participants(options.bids_dir, options.select)
        scans = [scan for scan in scans if scan.subject in labels]
    if not scans:
        raise UsageError(
            f"{options.bids_dir}: there is no FLAIR that can be used"
            + (" of those whom --select takes" if options.select else "")
        )
    return scans


def who_is_in(scans: Sequence[Scan], groups: Sequence[frozenset[str]]) -> list[str]:
    """Say how many are trained on and held out, and whether these are too few.

    The groups are those of `split.choose_held_out`: one, or one for each fold.
    """
    folds = len(groups) if len(groups) > 1 else 0
    fitted = [scan for scan in scans if folds or scan.subject not in groups[0]]
    held_out = [scan for scan in scans if folds or scan.subject in groups[0]]
    beside = f"held out in {folds} folds before" if folds else f"{counted(held_out)} held out"
    lines = [f"to train on: {counted(fitted)}, {beside}"]
    if len({scan.subject for scan in fitted}) < FEWEST_TRAINED_ON:
        lines.append(
            f"warning: a model of fewer than {FEWEST_TRAINED_ON} participants was never tried "
            "(docs/training.md)"
        )
    if len({scan.subject for scan in held_out}) < FEWEST_HELD_OUT:
        lines.append(
            f"warning: with fewer than {FEWEST_HELD_OUT} participants held out the threshold is "
            "left to chance; hold out more, or give --folds (docs/training.md)"
        )
    return lines


def counted(scans: Sequence[Scan]) -> str:
    """Return how many scans there are, of how many people."""
    people = len({scan.subject for scan in scans})
    return (
        f"{len(scans)} scan{'s' * (len(scans) != 1)} of {people} participant{'s' * (people != 1)}"
    )


def plan_cohort(
    scans: Sequence[Scan], options: CohortOptions, preproc: PreprocConfig, run: RunOptions
) -> list[Member]:
    """Find the masks of every scan, where its result is or will be, and what makes it.

    UsageError when no lesion mask fits any scan, more than one fits a scan, or a file cannot be
    read.
    """
    from uadbids.run.scheduler.graph import graph_name, init_healthy_nodes, new_root

    root, folder = options.lesion_masks, run.work_dir / new_root(run.work_dir).name
    bright_z = BRIGHT_Z if options.exclude_hyperintense else None
    healthy = HealthyOptions(bright_z=bright_z, seed=run.random_seed)
    masks = [None if root is None else find_mask(root, scan, LESIONS) for scan in scans]
    if root is not None and not any(masks):
        raise UsageError(f"--lesion-masks {root}: there is no lesion mask of any scan in it")
    members = []
    for scan, lesions in zip(scans, masks, strict=True):
        given = run.skull_strip == "mask"
        brain = find_mask(options.bids_dir, scan, BRAIN) if given else None
        try:
            scan.path.open("rb").close()
            nodes = init_healthy_nodes(scan, brain, lesions, run.preprocess(preproc), healthy)
        except OSError as error:
            raise UsageError(f"{error.filename} cannot be read ({error.strerror})") from error
        path = folder / graph_name(scan.name) / nodes[1].name / "healthy.npz"
        members.append(Member(scan.name, scan.subject, path, nodes))
    return members


def make_ready(members: Sequence[Member], run: RunOptions, console: Console) -> None:
    """Preprocess the scans that no earlier run has made ready; report those that fail."""
    from uadbids.run.scheduler.engine import run_graph
    from uadbids.run.scheduler.failures import read_crashes
    from uadbids.run.scheduler.graph import graph_name, init_cohort_wf

    with Claims(run.work_dir) as claims:
        missing = [member for member in members if not member.path.is_file()]
        # In one order, so that two runs do not wait for each other.
        for member in sorted(missing, key=lambda member: member.name):
            if not claims.take(graph_name(member.name)):
                say(console, f"waiting: another run is at work on {member.name} in {run.work_dir}")
                while not claims.take(graph_name(member.name)):
                    time.sleep(_SECONDS)
        # What another run has made ready in the meantime is not made again.
        missing = [member for member in missing if not member.path.is_file()]
        if len(missing) < len(members):
            ready = len(members) - len(missing)
            say(console, f"{ready} of {len(members)} scans ready from before")
        if not missing:
            return
        titles = {graph_name(member.name): member.name for member in missing}
        # A record of an earlier run must not stand for a failure of this one.
        log_dir = run.work_dir / "log" / uuid4().hex
        nodes = {member.name: member.nodes for member in missing}
        with Progress(titles, last="healthy", console=console) as progress:
            run_graph(init_cohort_wf(nodes, run.work_dir, log_dir), run, progress.step)
            for crash in read_crashes(log_dir).values():
                progress.note(f"left out: {crash.reason} ({crash.crash_file})")
