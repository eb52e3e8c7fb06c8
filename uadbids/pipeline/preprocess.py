"""From a scan to a volume on the template grid; training and detection share it."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from uadbids.bids.files import locked
from uadbids.pipeline.records import Compute, Preprocessed, PreprocessOptions
from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.brain_mask import extract_brain
from uadbids.preproc.config import IntensityScale, choose_method
from uadbids.preproc.conform import conform
from uadbids.preproc.intensity import scale_intensity
from uadbids.preproc.registration import register
from uadbids.preproc.resample import to_template
from uadbids.preproc.template import Template
from uadbids.qc.facts import stage
from uadbids.qc.measures import assess


def preprocess(
    source: Path,
    folder: Path,
    options: PreprocessOptions,
    *,
    skull_stripped: bool = False,
    given_mask: Path | None = None,
) -> Preprocessed:
    """Bring a scan to the template grid.

    The brain is masked before N4, because the bias field is to be estimated inside it.

    Parameters
    ----------
    source : Path
        NIfTI image.
    folder : Path
        Existing folder for the results.
    options : PreprocessOptions
        How.
    skull_stripped : bool
        The scan's sidecar says that nothing but the brain is left.
    given_mask : Path, optional
        Brain mask on the scan's grid, for ``skull_strip="mask"``.

    Raises
    ------
    ScanError
        When the scan cannot be used.
    """
    template, config = Template.packaged(), options.config
    conformed, brain = folder / "conformed.nii.gz", folder / "brain.nii.gz"
    corrected = folder / "corrected.nii"
    xfm, affine = folder / "to_template.txt", folder / "affine.txt"
    volume, mask = folder / "volume.nii.gz", folder / "mask.nii.gz"

    facts = stage("conform", conform, source, conformed)
    weights, metadata = options.hd_bet_weights, {"SkullStripped": skull_stripped}
    with gpu_turn(options.compute):
        facts += stage(
            "brain_mask",
            extract_brain,
            conformed,
            brain,
            method=choose_method(options.skull_strip, metadata, weights, given_mask),
            device=options.compute.device,
            threads=options.compute.threads,
            weights=weights,
            weights_sha256=options.hd_bet_sha256,
            given_mask=given_mask,
        )
    facts += stage("n4", correct_bias, conformed, brain, corrected, config)
    facts += stage("registration", register, corrected, brain, xfm, affine, template, config)
    facts += stage(
        "to_template", _to_template, corrected, brain, xfm, volume, mask, template, config.intensity
    )
    facts += stage("quality", assess, brain, volume, mask, template)
    corrected.unlink()
    return Preprocessed(source, conformed, brain, xfm, affine, volume, mask, facts)


def gpu_turn(compute: Compute) -> AbstractContextManager[None]:
    """Let one network at a time on the GPU, however many scans run."""
    return locked(compute.turn) if compute.turn else nullcontext()


def _to_template(
    in_file: Path,
    brain: Path,
    xfm: Path,
    volume: Path,
    mask: Path,
    template: Template,
    scale: IntensityScale,
) -> dict[str, Any]:
    """Interpolate, for the only time, then bring grey values to [0, 1]."""
    resampled = volume.with_name("resampled.nii")
    to_template(in_file, brain, xfm, resampled, mask, template)
    facts = scale_intensity(resampled, mask, volume, template, scale)
    resampled.unlink()
    return facts
