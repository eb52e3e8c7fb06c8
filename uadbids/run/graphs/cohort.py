"""Preprocess a cohort for training: the very graph of the participant level, many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from nipype.pipeline import engine as pe

from uadbids.preproc.config import PreprocConfig
from uadbids.run.graphs.preprocess import init_flair_preproc_wf
from uadbids.run.nodes.collect import Collect
from uadbids.run.nodes.step import Step
from uadbids.run.options import RunOptions
from uadbids.run.scheduler.engine import (
    Crash,
    OnStatus,
    graph_name,
    new_root,
    read_crashes,
    run_graph,
    set_crash_dir,
)


@dataclass(frozen=True)
class Source:
    """One scan of a cohort.

    Attributes
    ----------
    name : str
        BIDS name of the scan, ``sub-01_ses-1``.
    path : Path
        The image.
    metadata : Mapping
        Its sidecar.
    lesions : Path or None
        Mask of voxels that are not healthy, on the image's grid.
    brain : Path or None
        Brain mask of the dataset, on the image's grid.
    """

    name: str
    path: Path
    metadata: Mapping[str, Any]
    lesions: Path | None = None
    brain: Path | None = None


@dataclass(frozen=True)
class Preprocessed:
    """A scan on the template grid: paths of volume, brain mask and lesion mask, and facts."""

    name: str
    volume: Path
    mask: Path
    lesions: Path | None
    facts: Sequence[Mapping[str, Any]]


def preprocess_cohort(
    sources: Sequence[Source],
    config: PreprocConfig,
    options: RunOptions,
    log_dir: Path,
    on_status: OnStatus,
) -> tuple[list[Preprocessed], list[Crash]]:
    """Bring a cohort to the template grid; finished scans of an earlier call are not redone.

    Parameters
    ----------
    sources : sequence of Source
        The scans.
    config : PreprocConfig
        Settings.
    options : RunOptions
        Processes and work directory.
    log_dir : Path
        Where crash files go, in a folder of this call alone.
    on_status : callable
        Told of every step.

    Returns
    -------
    list of Preprocessed, list of Crash
        What is ready, in the order of `sources`, and what failed.
    """
    root = new_root("cohort", options.work_dir)
    collected: dict[str, Path] = {}
    for source in sources:
        workflow = pe.Workflow(name=graph_name(source.name))
        preproc = init_flair_preproc_wf(config, options)
        preproc.inputs.inputnode.in_file = str(source.path)
        stripped = source.metadata.get("SkullStripped", False)
        preproc.inputs.inputnode.metadata = {"SkullStripped": stripped}
        if source.brain is not None:
            preproc.inputs.inputnode.given_mask = str(source.brain)
        collect = Step(Collect(), "collect", run_without_submitting=True)
        if source.lesions is not None:
            collect.inputs.lesions = str(source.lesions)
        workflow.connect([
            (preproc, collect, [("outputnode.volume", "volume"), ("outputnode.mask", "mask"),
                                ("outputnode.conformed", "conformed"), ("outputnode.xfm", "xfm"),
                                ("outputnode.facts", "facts")]),
        ])  # fmt: skip
        root.add_nodes([workflow])
        collected[source.name] = Path(root.base_dir, root.name, workflow.name, "collect")
    # A crash file of an earlier run must not leave out a scan that is well now ...
    log_dir = log_dir / uuid4().hex
    set_crash_dir(root, log_dir)
    outcome = run_graph(root, options, on_status)
    crashes = read_crashes(log_dir)
    # ... and a record of an earlier run must not stand in for one that failed now.
    failed = {crash.graph for crash in crashes}
    records = {
        name: Collect.read(folder)
        for name, folder in collected.items()
        if graph_name(name) not in failed and (graph_name(name), "collect") in outcome.ended
    }
    return [Preprocessed(name, **record) for name, record in records.items() if record], crashes
