"""What every step has in common: it reports facts for the sidecars, and how long it took."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits


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
        facts = self._stage(Path(runtime.cwd)) or {}
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
