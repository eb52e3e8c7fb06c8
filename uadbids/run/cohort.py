"""The scans of a healthy cohort, preprocessed once and kept for every training on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from uadbids import __version__
from uadbids.bids.files import file_sha256
from uadbids.bids.masks import BRAIN, LESIONS, find_mask
from uadbids.bids.query import Scan, find_scans
from uadbids.bids.select import select_participants
from uadbids.errors import UsageError
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.template import Template
from uadbids.run.graphs.cohort import Source, preprocess_cohort
from uadbids.run.options import RunOptions
from uadbids.run.progress import Progress
from uadbids.run.runlog import say
from uadbids.run.scheduler.engine import graph_name
from uadbids.training.healthy import (
    HYPERINTENSE_Z,
    LESION_MARGIN,
    Healthy,
    load_healthy,
    read_healthy,
    save_healthy,
)

FOLDER = "healthy"
"""Below the work directory: one file for each scan and way of preprocessing it."""
# Raised when the files, or what is done to a scan, change between two versions of the package.
_FORMAT = 1
# Those that extract brains, correct intensities and register: their updates change results.
_ENGINES = ("antspyx", "deepbet")


@dataclass(frozen=True)
class CohortOptions:
    """Which scans to learn from, and what of them.

    Attributes
    ----------
    bids_dir : Path
        Healthy cohort.
    select : str or None
        Condition on the columns of ``participants.tsv``.
    lesion_masks : Path or None
        BIDS (derivative) dataset with masks of voxels that are not healthy.
    exclude_hyperintense : bool
        Leave out voxels that are too bright for healthy tissue where no mask was given.
    """

    bids_dir: Path
    select: str | None = None
    lesion_masks: Path | None = None
    exclude_hyperintense: bool = False


@dataclass(frozen=True)
class Member:
    """A scan of the cohort: its name and participant, and the file of its `Healthy`."""

    name: str
    subject: str
    path: Path

    def load(self) -> Healthy:
        """Read the scan."""
        return load_healthy(self.path)


@dataclass(frozen=True)
class Plan:
    """A scan as it is found, and what becomes of it."""

    source: Source
    member: Member


def find_cohort(options: CohortOptions) -> list[Scan]:
    """Find the scans to learn from; none of them is opened.

    Raises
    ------
    UsageError
        When there is none, or the condition selects nobody.
    """
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


def plan_cohort(
    scans: Sequence[Scan], options: CohortOptions, preproc: PreprocConfig, run: RunOptions
) -> list[Plan]:
    """Find the masks of every scan, and where its result is or will be.

    Parameters
    ----------
    scans : sequence of Scan
        What `find_cohort` found.
    options, preproc, run
        What decides on the result.

    Returns
    -------
    list of Plan
        In the order of `scans`.

    Raises
    ------
    UsageError
        When no lesion mask fits any scan, or more than one fits a scan.
    """
    root = options.lesion_masks
    template = Template.packaged().sha256()
    plans = []
    for scan in scans:
        lesions = None if root is None else find_mask(root, scan, LESIONS)
        given = run.skull_strip == "mask"
        brain = find_mask(options.bids_dir, scan, BRAIN) if given else None
        source = Source(scan.name, scan.path, scan.metadata, lesions, brain)
        key = _key(source, options, preproc, run, template)
        path = run.work_dir / FOLDER / f"{scan.name}_{key[:16]}.npz"
        plans.append(Plan(source, Member(scan.name, scan.subject, path)))
    if root is not None and not any(plan.source.lesions for plan in plans):
        raise UsageError(f"--lesion-masks {root}: there is no lesion mask of any scan in it")
    return plans


def make_ready(
    plans: Sequence[Plan],
    options: CohortOptions,
    preproc: PreprocConfig,
    run: RunOptions,
    console: Console,
) -> None:
    """Preprocess the scans that no earlier run has made ready; tell of those that fail.

    Parameters
    ----------
    plans : sequence of Plan
        What `plan_cohort` gave for the same options.
    options, preproc, run
        As there.
    console : Console
        Where to tell of progress.
    """
    missing = {plan.source.name: plan for plan in plans if not plan.member.path.is_file()}
    if len(missing) < len(plans):
        say(console, f"{len(plans) - len(missing)} of {len(plans)} scans ready from before")
    if not missing:
        return
    titles = {graph_name(name): name for name in missing}
    with Progress(titles, last="collect", console=console) as progress:
        sources = [plan.source for plan in missing.values()]
        found, crashes = preprocess_cohort(
            sources, preproc, run, run.work_dir / "log", progress.step
        )
        for crash in crashes:
            progress.note(f"left out: {crash.reason} ({crash.crash_file})")
        for paths in found:
            member = missing[paths.name].member
            healthy = read_healthy(
                paths, member.subject, options.exclude_hyperintense, run.random_seed
            )
            save_healthy(healthy, member.path)


def _key(
    source: Source, options: CohortOptions, preproc: PreprocConfig, run: RunOptions, template: str
) -> str:
    """Hash of everything that decides on a result, contents of files included."""
    decides: dict[str, Any] = {
        "version": [__version__, _FORMAT],
        "engines": [version(name) for name in _ENGINES],
        "files": [_file_hash(path) for path in (source.path, source.lesions, source.brain)],
        "stripped": source.metadata.get("SkullStripped"),
        "preproc": preproc.to_dict(),
        "template": template,
        "brain": [run.skull_strip, run.hd_bet_sha256, run.device != "cpu"],
        "seed": run.random_seed,
        "healthy": [options.exclude_hyperintense, HYPERINTENSE_Z, LESION_MARGIN],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _file_hash(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return file_sha256(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
