"""One graph for each scan, all under one root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from uadbids.bids.names import log_dir
from uadbids.bids.scan import Scan
from uadbids.preproc.config import PreprocConfig
from uadbids.run.graphs.detect import ModelOptions, init_detect_wf
from uadbids.run.graphs.preprocess import init_flair_preproc_wf
from uadbids.run.nodes.outputs import Write
from uadbids.run.nodes.step import Step
from uadbids.run.options import RunOptions
from uadbids.run.scheduler.engine import graph_name, new_root, set_crash_dir


@dataclass(frozen=True)
class OutputOptions:
    """Where outputs go and what is said in all of them.

    Attributes
    ----------
    output_dir : Path
        Root of the output dataset.
    spaces : tuple of str
        ``orig``, ``template`` or both.
    run_uuid : str
        Names the folder of this run's crash files.
    facts : dict
        Facts of the run for every sidecar: version, model, seed.
    trained_with : tuple of str
        Brain mask methods of the model's training.
    """

    output_dir: Path
    spaces: tuple[str, ...]
    run_uuid: str
    facts: dict[str, Any]
    trained_with: tuple[str, ...] = ()


def init_uadbids_wf(
    scans: Sequence[tuple[Scan, Path | None]],
    config: PreprocConfig,
    model: ModelOptions,
    options: RunOptions,
    outputs: OutputOptions,
) -> pe.Workflow:
    """Build the whole graph.

    Parameters
    ----------
    scans : sequence of (Scan, Path or None)
        Scans, each with the brain mask that the dataset gives for it.
    config : PreprocConfig
        From the model's card.
    model, options, outputs
        Model, way of running, outputs.

    Returns
    -------
    Workflow
        ``<root>.<scan>_wf``.
    """
    root = new_root("uadbids", options.work_dir)
    for scan, given_mask in scans:
        root.add_nodes([init_single_scan_wf(scan, given_mask, config, model, options, outputs)])
    return root


def init_single_scan_wf(
    scan: Scan,
    given_mask: Path | None,
    config: PreprocConfig,
    model: ModelOptions,
    options: RunOptions,
    outputs: OutputOptions,
) -> pe.Workflow:
    """Build the graph of one scan: preprocessing, detection, writing."""
    workflow = pe.Workflow(name=graph_name(scan.name))
    preproc = init_flair_preproc_wf(config, options)
    preproc.inputs.inputnode.in_file = str(scan.path)
    preproc.inputs.inputnode.metadata = {"SkullStripped": scan.metadata.get("SkullStripped", False)}
    if given_mask is not None:
        preproc.inputs.inputnode.given_mask = str(given_mask)
    detect = init_detect_wf(model, options)
    detect.inputs.inputnode.source = str(scan.path)
    facts = Step(niu.Merge(2), "facts", run_without_submitting=True)
    write = Step(
        Write(
            output_dir=str(outputs.output_dir),
            scan={"path": str(scan.path), "entities": dict(scan.entities)},
            run_facts=outputs.facts,
            trained_with=list(outputs.trained_with),
            spaces=list(outputs.spaces),
        ),
        "write",
        mem_gb=0.2,
    )
    carried = ("volume", "mask", "conformed", "brain", "xfm", "affine")
    results = ("found", "home", "components", "summary", "figures")
    workflow.connect([
        (preproc, detect, [(f"outputnode.{n}", f"inputnode.{n}") for n in carried]),
        (preproc, write, [(f"outputnode.{n}", n) for n in ("volume", "mask", "xfm")]),
        (detect, write, [(f"outputnode.{n}", n) for n in results]),
        (preproc, facts, [("outputnode.facts", "in1")]),
        (detect, facts, [("outputnode.facts", "in2")]),
        (facts, write, [("out", "facts")]),
    ])  # fmt: skip
    set_crash_dir(workflow, outputs.output_dir / log_dir(scan.subject, outputs.run_uuid))
    return workflow
