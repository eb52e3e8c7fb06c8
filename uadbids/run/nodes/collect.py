"""The end of a training graph: lesion mask on the template grid, and where everything lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterfaceInputSpec, File, isdefined, traits

from uadbids.preproc.template import Template
from uadbids.run.nodes.base import StageInterface

_RECORD = "collected.json"


class CollectInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Collect`."""

    volume = File(exists=True, mandatory=True, desc="volume on the template grid")
    mask = File(exists=True, mandatory=True, desc="brain mask on the template grid")
    conformed = File(exists=True, mandatory=True, desc="conformed scan")
    xfm = File(exists=True, mandatory=True, desc="transform of Register")
    lesions = File(exists=True, desc="lesion mask on the scan's grid")
    facts = traits.List(mandatory=True, desc="facts of the steps")


class Collect(StageInterface):
    """Write down what a graph has made, for the process that asked for it."""

    stage = "collect"
    input_spec = CollectInputSpec

    def _stage(self, folder: Path) -> dict[str, Any]:
        record = {
            "volume": self.inputs.volume,
            "mask": self.inputs.mask,
            "lesions": None,
            "facts": self.inputs.facts,
        }
        if isdefined(self.inputs.lesions):
            from uadbids.preproc.resample import mask_to_template

            record["lesions"] = str(folder / "lesions.nii.gz")
            mask_to_template(
                Path(self.inputs.lesions),
                Path(self.inputs.conformed),
                Path(self.inputs.xfm),
                Path(record["lesions"]),
                Template.packaged(),
            )
        (folder / _RECORD).write_text(json.dumps(record))
        return {}

    @staticmethod
    def read(folder: Path) -> dict[str, Any] | None:
        """Read the record of a node's folder; None where the graph did not get there."""
        path = folder / _RECORD
        return json.loads(path.read_text()) if path.is_file() else None
