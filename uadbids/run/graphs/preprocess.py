"""From a scan to a volume on the template grid; training and detection use the same graph."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from uadbids.preproc.config import PreprocConfig
from uadbids.run.nodes.preprocess import (
    Assess,
    Conform,
    CorrectBias,
    ExtractBrain,
    Register,
    ToTemplate,
)
from uadbids.run.nodes.step import Step
from uadbids.run.options import RunOptions

STAGES = ("conform", "brain_mask", "n4", "registration", "to_template", "quality")


def init_flair_preproc_wf(
    config: PreprocConfig, options: RunOptions, name: str = "flair_preproc_wf"
) -> pe.Workflow:
    """Build the preprocessing of one FLAIR.

    The brain is masked before N4, because the bias field is to be estimated inside it.

    Parameters
    ----------
    config : PreprocConfig
        Settings of the model that will see the volume.
    options : RunOptions
        Brain extraction, device and threads.
    name : str
        Name of the graph.

    Returns
    -------
    Workflow
        Inputs ``in_file``, ``metadata``, ``given_mask``; outputs ``volume``,
        ``mask`` (template grid), ``conformed``, ``brain`` (scan grid), ``xfm``, ``affine``,
        ``facts``.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface(["in_file", "metadata", "given_mask"]), "inputnode")
    outputnode = pe.Node(
        niu.IdentityInterface(["volume", "mask", "conformed", "brain", "xfm", "affine", "facts"]),
        "outputnode",
    )
    values = config.to_dict()
    conform = Step(Conform(), "conform", mem_gb=0.5)
    brain_mask = Step(
        ExtractBrain(
            wanted=options.skull_strip,
            device=options.device,
            use_gpu=options.device != "cpu",
            threads=options.omp_nthreads,
        ),
        "brain_mask",
        mem_gb=3.0,
        n_procs=options.omp_nthreads,
    )
    if options.hd_bet_weights is not None:
        brain_mask.inputs.hd_bet_weights = str(options.hd_bet_weights)
        brain_mask.inputs.hd_bet_sha256 = options.hd_bet_sha256
    n4 = Step(CorrectBias(config=values), "n4", mem_gb=1.0)
    registration = Step(
        Register(config=values, seed=options.random_seed), "registration", mem_gb=1.0
    )
    to_template = Step(ToTemplate(config=values), "to_template", mem_gb=1.0)
    quality = Step(Assess(), "quality", mem_gb=1.0)
    facts = Step(niu.Merge(len(STAGES)), "facts", run_without_submitting=True)

    workflow.connect([
        (inputnode, conform, [("in_file", "in_file")]),
        (inputnode, brain_mask, [("metadata", "metadata"), ("given_mask", "given_mask")]),
        (conform, brain_mask, [("out_file", "in_file")]),
        (conform, n4, [("out_file", "in_file")]),
        (brain_mask, n4, [("out_mask", "mask_file")]),
        (n4, registration, [("out_file", "in_file")]),
        (brain_mask, registration, [("out_mask", "mask_file")]),
        (n4, to_template, [("out_file", "in_file")]),
        (brain_mask, to_template, [("out_mask", "mask_file")]),
        (registration, to_template, [("out_xfm", "xfm")]),
        (conform, outputnode, [("out_file", "conformed")]),
        (brain_mask, quality, [("out_mask", "brain")]),
        (to_template, quality, [("out_file", "volume"), ("out_mask", "mask")]),
        (brain_mask, outputnode, [("out_mask", "brain")]),
        (registration, outputnode, [("out_xfm", "xfm"), ("out_affine", "affine")]),
        (to_template, outputnode, [("out_file", "volume"), ("out_mask", "mask")]),
        (facts, outputnode, [("out", "facts")]),
    ])  # fmt: skip
    stages = (conform, brain_mask, n4, registration, to_template, quality)
    for number, stage in enumerate(stages, start=1):
        workflow.connect(stage, "facts", facts, f"in{number}")
    return workflow
