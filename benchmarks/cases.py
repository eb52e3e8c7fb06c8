"""The scans that the benchmarks share, preprocessed as a run does it, on the template grid.

SOURCES holds the BIDS datasets ``isbi-ms``, ``brats2013``, ``lgg``, ``nichart`` and
``healthy-few``; COHORT is what ``recipes/packaged/make_cohort.py`` made. A work directory keeps
what was preprocessed.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from rich.console import Console

from uadbids.bids.query import Scan, find_scans
from uadbids.preproc.config import PreprocConfig
from uadbids.run.options import RunOptions
from uadbids.run.setup import prepare_environment
from uadbids.training.healthy import Healthy

SETS = {
    "MS (isbi-ms)": ("isbi-ms", "derivatives/raters", "*rater1_mask.nii.gz"),
    "tumours (brats2013)": ("brats2013", "derivatives/experts", "*_mask.nii.gz"),
    "tumours, thick slices (lgg)": ("lgg", "derivatives/manual", "*_mask.nii.gz"),
    "WMH (nichart, test)": ("nichart", "derivatives/dlwmls", "*_mask.nii.gz"),
}
HEALTHY = "healthy-looking (healthy-few)"
KEPT_BACK = {f"{number:02d}" for number in range(19, 24)}
HEALTHY_LABELS = ("kirby113", "synthsr")


class Case(NamedTuple):
    """A development scan on the template grid; without lesions where it looks healthy."""

    group: str
    name: str
    volume: np.ndarray
    mask: np.ndarray
    lesions: np.ndarray


class Cohort(NamedTuple):
    """Healthy scans: real ones that are trained on, synthetic ones, and those held out."""

    real: list[Healthy]
    synthetic: list[Healthy]
    held_out: list[Healthy]


def run_options(work_dir: Path, nprocs: int) -> RunOptions:
    """Prepare a work directory as the command line does."""
    work_dir = work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    prepare_environment(work_dir, random_seed=20210301, threads=1)
    return RunOptions(work_dir=work_dir, nprocs=nprocs)


def arguments(description: str) -> argparse.ArgumentParser:
    """Command line of a benchmark on the cohort and the development cases."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("sources", "cohort"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--nprocs", type=int, default=2)
    return parser


def read_all(args: argparse.Namespace) -> tuple[Cohort, list[Case]]:
    """Read what `arguments` names; torch then uses as many threads as there were processes."""
    options = run_options(args.work_dir, args.nprocs)
    found = read_cohort(args.cohort, options), read_cases(args.sources, options)
    torch.set_num_threads(args.nprocs)
    return found


def read_cohort(cohort: Path, options: RunOptions) -> Cohort:
    """Preprocess the cohort of the packaged models, or take what their training kept of it."""
    from uadbids.run.cohort import CohortOptions, find_cohort, make_ready, plan_cohort

    wanted = CohortOptions(
        cohort.resolve(), None, cohort.resolve() / "derivatives" / "lesions", True
    )
    plan = plan_cohort(find_cohort(wanted), wanted, PreprocConfig(), options)
    make_ready(plan, options, Console(stderr=True))
    scans = [member.load() for member in plan if member.path.is_file()]
    labels = set((cohort / "held_out.txt").read_text().split())
    trained = [item for item in scans if item.subject not in labels]
    return Cohort(
        [item for item in trained if not item.subject.startswith("synth")],
        [item for item in trained if item.subject.startswith("synth")],
        [item for item in scans if item.subject in labels],
    )


def read_cases(sources: Path, options: RunOptions) -> list[Case]:
    """Preprocess the development cases: nobody who was trained on or held out."""
    wanted: list[tuple[str, str, Scan, Path | None]] = []
    for group, (dataset, derivatives, pattern) in SETS.items():
        root = sources / dataset
        for scan in find_scans(root):
            masks = sorted((root / derivatives).glob(f"sub-{scan.subject}/**/{pattern}"))
            if masks and (dataset != "nichart" or scan.subject in KEPT_BACK):
                wanted.append((group, dataset, scan, masks[0]))
    for scan in find_scans(sources / "healthy-few", participant_label=list(HEALTHY_LABELS)):
        wanted.append((HEALTHY, "healthy-few", scan, None))
    with ProcessPoolExecutor(options.nprocs, get_context("spawn")) as pool:
        cases = list(pool.map(_case, wanted, repeat(options)))
    # One table a set, in the order above.
    order = [*SETS, HEALTHY]
    return sorted(cases, key=lambda case: order.index(case.group))


def _case(wanted: tuple[str, str, Scan, Path | None], options: RunOptions) -> Case:
    """Preprocess a scan, or take what an earlier call kept of it."""
    from uadbids.preproc.resample import mask_to_template
    from uadbids.preproc.template import Template
    from uadbids.run.scheduler.graph import init_preprocess_node

    group, dataset, scan, drawn = wanted
    name = f"{dataset.replace('-', '')}_{scan.name}"
    node = init_preprocess_node(scan, None, options.preprocess(PreprocConfig()))
    node.base_dir = options.work_dir / "cases" / name
    found, _ = node.run().outputs.made
    volume = np.asarray(nib.load(found.volume).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(found.mask).dataobj) > 0
    lesions = np.zeros(mask.shape, dtype=bool)
    if drawn:
        out = node.base_dir / "lesions.nii.gz"
        mask_to_template(drawn, found.conformed, found.xfm, out, Template.packaged())
        lesions = np.asarray(nib.load(out).dataobj) > 0
    return Case(group, name, volume, mask, lesions)
