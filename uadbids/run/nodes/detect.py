"""nipype specs from volume to figures; each body is one call, imported there (see `preprocess`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Directory,
    File,
    Str,
    traits,
)

from uadbids.run.nodes.base import StageInterface, StageOutputSpec


class DetectInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Detect`."""

    volume = File(exists=True, mandatory=True, desc="volume on the template grid")
    mask = File(exists=True, mandatory=True, desc="brain mask on the template grid")
    bundle = Directory(exists=True, mandatory=True, desc="model bundle")
    identity = Str(mandatory=True, desc="hash of the bundle: another model is another result")
    settings = traits.Dict(mandatory=True, desc="threshold and the like, where they were asked for")
    device = Str("cpu", usedefault=True, desc="cpu or cuda[:N]")
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="takes a place on the GPU")
    threads = traits.Int(1, usedefault=True, nohash=True, desc="CPU threads")


class DetectOutputSpec(StageOutputSpec):
    """Outputs of `Detect`."""

    files = traits.Dict(desc="images on the template grid, by kind")


class Detect(StageInterface):
    """Reconstruct, take the residual, find lesions."""

    stage = "detect"
    input_spec = DetectInputSpec
    output_spec = DetectOutputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        from uadbids.pipeline.detect import detect_file

        files, facts = detect_file(
            Path(self.inputs.volume),
            Path(self.inputs.mask),
            Path(self.inputs.bundle),
            folder,
            device=self.inputs.device,
            threads=self.inputs.threads,
            **self.inputs.settings,
        )
        self._results["files"] = {kind: str(path) for kind, path in files.items()}
        return facts


class CarryHomeInputSpec(BaseInterfaceInputSpec):
    """Inputs of `CarryHome`."""

    files = traits.Dict(mandatory=True, desc="images on the template grid")
    brain = File(exists=True, mandatory=True, desc="brain mask of the conformed scan")
    xfm = File(exists=True, mandatory=True, desc="transform of Register")
    affine = File(exists=True, mandatory=True, desc="affine transform of Register")
    conformed = File(exists=True, mandatory=True, desc="conformed scan")
    source = File(mandatory=True, desc="scan as it was found")


class CarryHomeOutputSpec(StageOutputSpec):
    """Outputs of `CarryHome`."""

    files = traits.Dict(desc="images on the scan's grid")
    components = traits.List(desc="rows of the component table")
    summary = traits.Dict(desc="volumes and counts")


class CarryHome(StageInterface):
    """Maps and lesions on the voxels of the scan."""

    stage = "home"
    input_spec = CarryHomeInputSpec
    output_spec = CarryHomeOutputSpec

    def _stage(self, folder: Path) -> None:
        from uadbids.pipeline.native_space import carry_home

        files = {kind: Path(path) for kind, path in self.inputs.files.items()}
        home = carry_home(
            {kind: files[kind] for kind in ("anomaly", "score") if kind in files},
            files["components"],
            Path(self.inputs.brain),
            xfm=Path(self.inputs.xfm),
            affine=Path(self.inputs.affine),
            conformed=Path(self.inputs.conformed),
            source=Path(self.inputs.source),
            folder=folder,
        )
        self._results["files"] = {key: str(path) for key, path in home.files.items()}
        self._results["components"] = home.components
        self._results["summary"] = home.summary


class DrawInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Draw`."""

    source = File(mandatory=True, desc="scan as it was found")
    volume = File(exists=True, mandatory=True, desc="volume on the template grid")
    mask = File(exists=True, mandatory=True, desc="brain mask on the template grid")
    bundle = Directory(exists=True, mandatory=True, desc="model bundle")
    identity = Str(mandatory=True, desc="hash of the bundle")
    found = traits.Dict(mandatory=True, desc="images on the template grid")
    home = traits.Dict(mandatory=True, desc="images on the scan's grid")
    facts = traits.Dict(mandatory=True, desc="facts of the detection")


class DrawOutputSpec(StageOutputSpec):
    """Outputs of `Draw`."""

    figures = traits.Dict(desc="figures by kind")


class Draw(StageInterface):
    """The figures of the report."""

    stage = "figures"
    input_spec = DrawInputSpec
    output_spec = DrawOutputSpec

    def _stage(self, folder: Path) -> None:
        from uadbids.reports.scan_figures import draw_figures

        figures = draw_figures(
            Path(self.inputs.source),
            Path(self.inputs.volume),
            Path(self.inputs.mask),
            {key: Path(path) for key, path in self.inputs.found.items()},
            {key: Path(path) for key, path in self.inputs.home.items()},
            facts=self.inputs.facts,
            bundle=Path(self.inputs.bundle),
            folder=folder,
        )
        self._results["figures"] = {kind: str(path) for kind, path in figures.items()}
