"""The graphs of scans: three nodes each, ``preprocess -> detect -> derive``, under one root."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from nipype.pipeline import engine as pe

from uadbids import __version__
from uadbids.bids.scan import Scan
from uadbids.pipeline.records import HealthyOptions, LongitudinalOptions, PreprocessOptions
from uadbids.run.options import Examination
from uadbids.run.scheduler.nodes import Stage, Step


def graph_name(scan_name: str) -> str:
    """Return the name of a scan's graph: nipype allows letters, digits and underscores."""
    return re.sub(r"\W", "_", scan_name) + "_wf"


def new_root(work_dir: Path) -> pe.Workflow:
    """Make an empty graph; the version names its folder, so results of other code stay unused."""
    version = re.sub(r"\W", "_", __version__)
    return pe.Workflow(name=f"uadbids_{version}_wf", base_dir=str(work_dir))


def set_crash_dir(workflow: pe.Workflow, folder: Path) -> None:
    """Let every node of a graph write its crash files to a folder."""
    workflow.config["execution"] = {"crashdump_dir": str(folder), "crashfile_format": "txt"}
    for node in workflow._get_all_nodes():
        node.config = deepcopy(workflow.config)


def init_preprocess_node(scan: Scan, given_mask: Path | None, options: PreprocessOptions) -> Step:
    """Make the first node of a scan's graph, which detection and training share."""
    stage = Stage(
        function="uadbids.pipeline.preprocess.preprocess",
        files=_present(source=scan.path, given_mask=given_mask),
        options={"skull_stripped": scan.metadata.get("SkullStripped") is True, "options": options},
    )
    return Step(stage, "preprocess", mem_gb=3.0, n_procs=options.compute.threads)


def _present(**files: Path | None) -> dict[str, str]:
    return {name: str(path) for name, path in files.items() if path is not None}


def init_scans_wf(scans: Sequence[tuple[Scan, Path | None]], plan: Examination) -> pe.Workflow:
    """Build the graph of scans, ``<root>.<scan>_wf.<node>``.

    With each scan comes the brain mask that the dataset gives for it.
    """
    root = new_root(plan.run.work_dir)
    for scan, given_mask in scans:
        workflow = pe.Workflow(name=graph_name(scan.name))
        first = init_preprocess_node(scan, given_mask, plan.preprocess)
        found = Stage(function="uadbids.pipeline.detect.detect", options={"options": plan.detect})
        second = Step(found, "detect", mem_gb=2.0, n_procs=plan.detect.compute.threads)
        # Of a sidecar, which may hold dates and names, nothing is kept.
        named = {"raw": replace(scan, metadata={}), "options": plan.derive}
        derived = Stage(function="uadbids.pipeline.derive.derive", options=named)
        last = Step(derived, "derive", mem_gb=1.0)
        workflow.connect([
            (first, second, [("made", "scan")]),
            (first, last, [("made", "scan")]),
            (second, last, [("made", "found")]),
        ])  # fmt: skip
        set_crash_dir(workflow, plan.log_dir(scan.subject))
        root.add_nodes([workflow])
    return root


def init_comparisons_wf(
    comparisons: Mapping[str, tuple[Mapping[str, Path], LongitudinalOptions]], plan: Examination
) -> pe.Workflow:
    """Build the graph of comparisons: of each, by its name, one node with files and options."""
    root = new_root(plan.run.work_dir)
    for name, (files, options) in comparisons.items():
        workflow = pe.Workflow(name=name)
        compare = Stage(
            function="uadbids.pipeline.longitudinal.compare_sessions",
            files=_present(**files),
            options={"options": options},
        )
        threads = options.detect.compute.threads
        workflow.add_nodes([Step(compare, "compare", mem_gb=3.0, n_procs=threads)])
        set_crash_dir(workflow, plan.log_dir(options.scans[0].subject))
        root.add_nodes([workflow])
    return root


def init_healthy_nodes(
    scan: Scan,
    given_mask: Path | None,
    lesions: Path | None,
    preprocess: PreprocessOptions,
    healthy: HealthyOptions,
) -> tuple[Step, Step]:
    """Make the two nodes of a scan to learn from; OSError when a file of it cannot be read.

    The name of the second holds everything that decides on its result: trainings of several kinds
    on one cohort share a work directory.
    """
    first = init_preprocess_node(scan, given_mask, preprocess)
    prepare = Stage(
        function="uadbids.pipeline.healthy.prepare_healthy",
        files=_present(lesions=lesions),
        options={"subject": scan.subject, "options": healthy},
    )
    decides = [item.inputs.get_hashval(hash_method="content")[1] for item in (first, prepare)]
    name = hashlib.sha256("".join(decides).encode()).hexdigest()[:16]
    return first, Step(prepare, f"healthy_{name}", mem_gb=1.0)


def init_cohort_wf(
    nodes: Mapping[str, tuple[Step, ...]], work_dir: Path, log_dir: Path
) -> pe.Workflow:
    """Build the graph of a cohort from the nodes of its scans, by name."""
    root = new_root(work_dir)
    for name, (first, second) in nodes.items():
        workflow = pe.Workflow(name=graph_name(name))
        workflow.connect(first, "made", second, "scan")
        root.add_nodes([workflow])
    set_crash_dir(root, log_dir)
    return root
