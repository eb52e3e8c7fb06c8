"""From a volume to lesions on the scan, and the figures that show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from uadbids.run.nodes.detect import CarryHome, Detect, Draw
from uadbids.run.nodes.step import Step
from uadbids.run.options import RunOptions


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and what the user wants otherwise than its card says.

    Attributes
    ----------
    bundle : Path
        Folder of the bundle.
    identity : str
        Hash of the card.
    settings : dict
        Of ``threshold``, ``false_positive_rate``, ``residual``, ``min_volume_mm3`` those given.
    """

    bundle: Path
    identity: str
    settings: dict[str, Any] = field(default_factory=dict)


def init_detect_wf(
    model: ModelOptions, options: RunOptions, name: str = "detect_wf"
) -> pe.Workflow:
    """Build detection, the way home, and the figures of one FLAIR.

    Parameters
    ----------
    model : ModelOptions
        The bundle and its settings.
    options : RunOptions
        Device and threads.
    name : str
        Name of the graph.

    Returns
    -------
    Workflow
        Inputs ``source``, ``volume``, ``mask``, ``conformed``, ``brain``, ``xfm``, ``affine``;
        outputs ``found`` (template grid), ``home`` (scan grid), ``components``, ``summary``,
        ``figures``, ``facts``.
    """
    workflow = pe.Workflow(name=name)
    inputs = ["source", "volume", "mask", "conformed", "brain", "xfm", "affine"]
    inputnode = pe.Node(niu.IdentityInterface(inputs), "inputnode")
    outputs = ["found", "home", "components", "summary", "figures", "facts"]
    outputnode = pe.Node(niu.IdentityInterface(outputs), "outputnode")
    detect = Step(
        Detect(
            bundle=str(model.bundle),
            identity=model.identity,
            settings=model.settings,
            device=options.device,
            use_gpu=options.device != "cpu",
            threads=options.omp_nthreads,
        ),
        "detect",
        mem_gb=2.0,
        n_procs=options.omp_nthreads,
    )
    home = Step(CarryHome(), "home", mem_gb=1.0)
    figures = Step(Draw(bundle=str(model.bundle), identity=model.identity), "figures", mem_gb=1.0)
    facts = Step(niu.Merge(3), "facts", run_without_submitting=True)
    workflow.connect([
        (inputnode, detect, [("volume", "volume"), ("mask", "mask")]),
        (inputnode, home, [(n, n) for n in ("source", "conformed", "brain", "xfm", "affine")]),
        (detect, home, [("files", "files")]),
        (inputnode, figures, [(n, n) for n in ("source", "volume", "mask")]),
        (detect, figures, [("files", "found"), ("facts", "facts")]),
        (home, figures, [("files", "home")]),
        (detect, facts, [("facts", "in1")]),
        (home, facts, [("facts", "in2")]),
        (figures, facts, [("facts", "in3")]),
        (detect, outputnode, [("files", "found")]),
        (home, outputnode, [(n, n) for n in ("components", "summary")]),
        (home, outputnode, [("files", "home")]),
        (figures, outputnode, [("figures", "figures")]),
        (facts, outputnode, [("out", "facts")]),
    ])  # fmt: skip
    return workflow
