"""nipype specs of the preprocessing; each body is one call of a function of `uadbids.preproc`.

It is imported in the body: the process that builds the graph needs neither torch nor ANTs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, Str, isdefined, traits

from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.template import Template
from uadbids.run.nodes.base import StageInterface, StageOutputSpec


class _ImageInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc="image")


class _MaskedInputSpec(_ImageInputSpec):
    mask_file = File(exists=True, mandatory=True, desc="brain mask on the image's grid")
    config = traits.Dict(mandatory=True, desc="PreprocConfig as plain values")


class _ImageOutputSpec(StageOutputSpec):
    out_file = File(exists=True, desc="result")


class ConformInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Conform`."""

    # Without exists=True: `conform` says in words what is wrong with a file that is gone.
    in_file = File(mandatory=True, desc="scan as it was found")


class Conform(StageInterface):
    """One 3D, finite, RAS image."""

    stage = "conform"
    input_spec = ConformInputSpec
    output_spec = _ImageOutputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.preproc.conform import conform

        out_file = self._new("out_file", folder, "conformed.nii.gz")
        return conform(Path(self.inputs.in_file), out_file)


class ExtractBrainInputSpec(_ImageInputSpec):
    """Inputs of `ExtractBrain`."""

    wanted = Str(mandatory=True, desc="auto, hd-bet, deepbet, mask or none")
    metadata = traits.Dict(mandatory=True, desc="sidecar of the scan")
    hd_bet_weights = traits.Directory(exists=True, desc="folder with HD-BET's weights")
    hd_bet_sha256 = Str("", usedefault=True, desc="hash of these weights")
    given_mask = File(exists=True, desc="brain mask of the dataset")
    # Hashed: on a GPU, HD-BET also looks at mirror images.
    device = Str("cpu", usedefault=True, desc="cpu or cuda[:N]")
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="takes a place on the GPU")
    threads = traits.Int(1, usedefault=True, nohash=True, desc="CPU threads")


class ExtractBrainOutputSpec(StageOutputSpec):
    """Outputs of `ExtractBrain`."""

    out_mask = File(exists=True, desc="brain mask")


class ExtractBrain(StageInterface):
    """Brain mask on the scan's grid."""

    stage = "brain_mask"
    input_spec = ExtractBrainInputSpec
    output_spec = ExtractBrainOutputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.preproc.brain_mask import choose_method, extract_brain

        weights = _path(self.inputs.hd_bet_weights)
        given = _path(self.inputs.given_mask)
        return extract_brain(
            Path(self.inputs.in_file),
            self._new("out_mask", folder, "brain.nii.gz"),
            method=choose_method(self.inputs.wanted, self.inputs.metadata, weights, given),
            device=self.inputs.device,
            threads=self.inputs.threads,
            weights=weights,
            weights_sha256=self.inputs.hd_bet_sha256,
            given_mask=given,
        )


class CorrectBias(StageInterface):
    """N4 that spares lesions."""

    stage = "n4"
    input_spec = _MaskedInputSpec
    output_spec = _ImageOutputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.preproc.bias_field import correct_bias

        return correct_bias(
            Path(self.inputs.in_file),
            Path(self.inputs.mask_file),
            self._new("out_file", folder, "corrected.nii.gz"),
            PreprocConfig.from_dict(self.inputs.config),
        )


class RegisterInputSpec(_MaskedInputSpec):
    """Inputs of `Register`."""

    # ITK takes it from the environment; here it tells the cache that the result is another one.
    seed = traits.Int(mandatory=True, desc="seed of ITK's samplers")


class RegisterOutputSpec(StageOutputSpec):
    """Outputs of `Register`."""

    out_xfm = File(exists=True, desc="ITK transform; maps template points to the scan")
    out_affine = File(exists=True, desc="the affine one that it comes from")


class Register(StageInterface):
    """Rigid transform from the scan to the template."""

    stage = "registration"
    input_spec = RegisterInputSpec
    output_spec = RegisterOutputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.preproc.registration import register

        return register(
            Path(self.inputs.in_file),
            Path(self.inputs.mask_file),
            self._new("out_xfm", folder, "to_template.txt"),
            self._new("out_affine", folder, "affine.txt"),
            Template.packaged(),
            PreprocConfig.from_dict(self.inputs.config),
        )


class ToTemplateInputSpec(_MaskedInputSpec):
    """Inputs of `ToTemplate`."""

    xfm = File(exists=True, mandatory=True, desc="transform of Register")


class ToTemplateOutputSpec(_ImageOutputSpec):
    """Outputs of `ToTemplate`."""

    out_mask = File(exists=True, desc="brain mask on the template grid")


class ToTemplate(StageInterface):
    """The one interpolation, then grey values in [0, 1]."""

    stage = "to_template"
    input_spec = ToTemplateInputSpec
    output_spec = ToTemplateOutputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.preproc.intensity import scale_intensity
        from uadbids.preproc.resample import to_template

        template = Template.packaged()
        out_mask = self._new("out_mask", folder, "brain.nii.gz")
        resampled = folder / "resampled.nii"
        to_template(
            Path(self.inputs.in_file),
            Path(self.inputs.mask_file),
            Path(self.inputs.xfm),
            resampled,
            out_mask,
            template,
        )
        facts = scale_intensity(
            resampled,
            out_mask,
            self._new("out_file", folder, "volume.nii.gz"),
            template,
            PreprocConfig.from_dict(self.inputs.config).intensity,
        )
        resampled.unlink()
        return facts


class AssessInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Assess`."""

    brain = File(exists=True, mandatory=True, desc="brain mask of the conformed scan")
    volume = File(exists=True, mandatory=True, desc="volume on the template grid")
    mask = File(exists=True, mandatory=True, desc="brain mask on the template grid")


class Assess(StageInterface):
    """Whether the scan can be trusted."""

    stage = "quality"
    input_spec = AssessInputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.qc.measures import assess

        return assess(
            Path(self.inputs.brain),
            Path(self.inputs.volume),
            Path(self.inputs.mask),
            Template.packaged(),
        )


def _path(value: Any) -> Path | None:
    return Path(value) if isdefined(value) else None
