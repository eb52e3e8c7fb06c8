"""What every step has in common: facts for the sidecars, its time, hashes of what it wrote."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, ClassVar

from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits

from uadbids.bids.files import file_sha256, read_json

_RECORD = ".written.json"


class StageOutputSpec(TraitedSpec):
    """Outputs that every step has."""

    facts = traits.Dict(desc="what the step found out, for the sidecars")


class StageInterface(SimpleInterface):
    """A step whose body is one call of a plain function.

    Subclasses name their `stage` and write `_stage`, which puts files into ``self._results``
    and returns facts (a mapping with CamelCase keys) or None.
    """

    input_spec = BaseInterfaceInputSpec
    output_spec = StageOutputSpec
    stage: ClassVar[str]

    def _run_interface(self, runtime: Any) -> Any:
        started = time.monotonic()
        folder = Path(runtime.cwd)
        # nipype's own files in the folder change; those that come about here do not.
        before = set(folder.iterdir())
        facts = self._stage(folder) or {}
        written = sorted(path for path in set(folder.iterdir()) - before if path.is_file())
        hashes = {path.name: file_sha256(path) for path in written}
        (folder / _RECORD).write_text(json.dumps(hashes))
        seconds = round(time.monotonic() - started, 2)
        self._results["facts"] = {**facts, "StageSeconds": {self.stage: seconds}}
        return runtime

    def _stage(self, folder: Path) -> dict[str, Any] | None:
        raise NotImplementedError

    def _new(self, output: str, folder: Path, name: str) -> Path:
        """Name an output file in the node's own folder."""
        path = folder / name
        self._results[output] = str(path)
        return path


def is_intact(folder: Path) -> bool:
    """Tell whether a step's folder holds what the step wrote, byte for byte."""
    hashes = read_json(folder / _RECORD)
    return isinstance(hashes, dict) and all(
        (folder / name).is_file() and file_sha256(folder / name) == sha256
        for name, sha256 in hashes.items()
    )
