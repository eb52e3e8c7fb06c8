"""The last step of a scan: everything is written, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, Directory, File, traits

from uadbids.bids.derivatives import SOURCE_HASH, write_scan
from uadbids.bids.files import file_sha256
from uadbids.bids.scan import Scan
from uadbids.errors import ScanError
from uadbids.qc.facts import join_facts
from uadbids.qc.flags import brain_mask_warnings
from uadbids.run.nodes.base import StageInterface


class WriteInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Write`."""

    output_dir = Directory(mandatory=True, desc="root of the output dataset")
    scan = traits.Dict(mandatory=True, desc="path, entities and metadata of the scan")
    found = traits.Dict(mandatory=True, desc="images on the template grid")
    home = traits.Dict(mandatory=True, desc="images on the scan's grid")
    volume = File(exists=True, mandatory=True, desc="volume on the template grid")
    mask = File(exists=True, mandatory=True, desc="brain mask on the template grid")
    xfm = File(exists=True, mandatory=True, desc="transform of Register")
    facts = traits.List(mandatory=True, desc="facts of all steps")
    trained_with = traits.List(mandatory=True, desc="brain mask methods of the training")
    run_facts = traits.Dict(mandatory=True, desc="facts of the run: version, model, seed")
    summary = traits.Dict(mandatory=True, desc="volumes and counts")
    components = traits.List(mandatory=True, desc="rows of the component table")
    figures = traits.Dict(mandatory=True, desc="figures by kind")
    spaces = traits.List(mandatory=True, desc="orig, template or both")


class Write(StageInterface):
    """Put the outputs of one scan into the dataset; runs every time, also when all is cached."""

    stage = "write"
    input_spec = WriteInputSpec
    _always_run = True

    def _stage(self, folder: Path) -> None:
        facts, summary = join_facts([self.inputs.run_facts, *self.inputs.facts])
        if told := brain_mask_warnings(facts, self.inputs.trained_with):
            facts["Flags"].append("brain-mask-method")
            facts["Warnings"] += told
        scan = Scan(**{**self.inputs.scan, "path": Path(self.inputs.scan["path"])})
        _check_unchanged(scan.path, facts.get(SOURCE_HASH))
        write_scan(
            Path(self.inputs.output_dir),
            scan,
            self._files(),
            facts=facts,
            summary={**self.inputs.summary, **summary},
            components=self.inputs.components,
            figures={kind: Path(path) for kind, path in self.inputs.figures.items()},
        )

    def _files(self) -> dict[str, Path]:
        files: dict[str, Any] = dict(self.inputs.home)
        if "template" in self.inputs.spaces:
            files.update({f"template_{kind}": path for kind, path in self.inputs.found.items()})
            files["template_preproc"] = self.inputs.volume
            files["template_brain"] = self.inputs.mask
        files["xfm"] = self.inputs.xfm
        return {key: Path(path) for key, path in files.items()}


def _check_unchanged(path: Path, sha256: str | None) -> None:
    """Refuse to write results of one image with the header of another."""
    if not path.is_file():
        raise ScanError(f"{path}: the file vanished while it was examined; nothing was written")
    if file_sha256(path) != sha256:
        raise ScanError(
            f"{path}: the file changed while it was examined; nothing was written. Run again"
        )
