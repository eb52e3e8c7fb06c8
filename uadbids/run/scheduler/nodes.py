"""The three nodes of a scan, and one more for training; each is one call, imported in its body.

So the process that builds the graph needs neither torch nor ANTs.
"""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.pipeline import engine as pe

from uadbids.bids.files import file_sha256, read_json
from uadbids.run.scheduler.failures import record_failure

_RECORD = ".written.json"
_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, zlib.error, AttributeError, ImportError,
               IndexError, KeyError, TypeError, ValueError)  # fmt: skip


class StageOutputSpec(TraitedSpec):
    """Outputs that every node has."""

    result = traits.Any(desc="what the function returned")
    written = traits.Dict(desc="files -> SHA-256: with them, other contents are other inputs")


class Stage(SimpleInterface):
    """A node whose body is one call of a function of the pipeline."""

    input_spec = BaseInterfaceInputSpec
    output_spec = StageOutputSpec
    failure: Exception | None = None

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        try:
            result = self._call(folder)
            hashes = {str(path): file_sha256(path) for path in sorted(set(_paths(result, folder)))}
        except Exception as error:
            # nipype keeps but the text of it.
            self.failure = error
            raise
        (folder / _RECORD).write_text(json.dumps(hashes))
        self._results.update(result=result, written=hashes)
        return runtime

    def _call(self, folder: Path) -> Any:
        raise NotImplementedError


def _paths(result: Any, folder: Path) -> Iterable[Path]:
    """Files in what a function returned, but for its inputs."""
    if isinstance(result, Path):
        return [result]
    values: Iterable[Any] = ()
    if is_dataclass(result):
        values = [getattr(result, item.name) for item in fields(result) if item.name != "source"]
    elif isinstance(result, dict):
        values = result.values()
    elif isinstance(result, list | tuple):
        values = result
    return [path for value in values for path in _paths(value, folder)]


class PreprocessInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Preprocess`."""

    # Without exists=True: `conform` says in words what is wrong with a file that is gone.
    source = File(mandatory=True, desc="scan as it was found")
    given_mask = File(desc="brain mask of the dataset")
    skull_stripped = traits.Bool(mandatory=True, desc="as the sidecar says")
    options = traits.Any(mandatory=True, desc="PreprocessOptions")


class Preprocess(Stage):
    """From a scan to a volume on the template grid."""

    input_spec = PreprocessInputSpec

    def _call(self, folder: Path) -> Any:
        from uadbids.pipeline.preprocess import preprocess

        mask = self.inputs.given_mask
        return preprocess(
            Path(self.inputs.source),
            folder,
            self.inputs.options,
            skull_stripped=self.inputs.skull_stripped,
            given_mask=Path(mask) if isdefined(mask) else None,
        )


class DetectInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Detect`."""

    scan = traits.Any(mandatory=True, desc="Preprocessed")
    scan_files = traits.Dict(mandatory=True, desc="its files")
    options = traits.Any(mandatory=True, desc="DetectOptions")


class Detect(Stage):
    """From the volume to an anomaly map and findings."""

    input_spec = DetectInputSpec

    def _call(self, folder: Path) -> Any:
        from uadbids.pipeline.detect import detect

        return detect(self.inputs.scan, folder, self.inputs.options)


class DeriveInputSpec(BaseInterfaceInputSpec):
    """Inputs of `Derive`."""

    raw = traits.Any(mandatory=True, desc="Scan, without its sidecar")
    scan = traits.Any(mandatory=True, desc="Preprocessed")
    scan_files = traits.Dict(mandatory=True, desc="its files")
    found = traits.Any(mandatory=True, desc="Detected")
    found_files = traits.Dict(mandatory=True, desc="its files")
    options = traits.Any(mandatory=True, desc="DeriveOptions")


class Derive(Stage):
    """From the template grid to the outputs of the scan."""

    input_spec = DeriveInputSpec

    def _call(self, folder: Path) -> Any:
        from uadbids.pipeline.derive import derive

        given = self.inputs
        return derive(given.raw, given.scan, given.found, folder, given.options)


class PrepareHealthyInputSpec(BaseInterfaceInputSpec):
    """Inputs of `PrepareHealthy`."""

    scan = traits.Any(mandatory=True, desc="Preprocessed")
    scan_files = traits.Dict(mandatory=True, desc="its files")
    lesions = File(desc="lesion mask on the scan's grid")
    subject = traits.Str(mandatory=True, desc="label of the participant")
    options = traits.Any(mandatory=True, desc="HealthyOptions")


class PrepareHealthy(Stage):
    """From the volume to a healthy brain to learn from."""

    input_spec = PrepareHealthyInputSpec

    def _call(self, folder: Path) -> Any:
        from uadbids.pipeline.healthy import prepare_healthy

        given, lesions = self.inputs, self.inputs.lesions
        mask = Path(lesions) if isdefined(lesions) else None
        return prepare_healthy(given.scan, folder, given.subject, mask, given.options)


class Step(pe.Node):
    """A node that takes up an earlier result only if it is as it was written.

    nipype hashes the inputs of a node, and believes that its outputs are still what they were. A
    power cut, a full disk or a hand in a folder can make that wrong; the node then runs again.
    """

    def run(self, updatehash: bool = False) -> Any:
        """Run, as nipype does; leave a record of an error beside nipype's crash file."""
        try:
            return super().run(updatehash)
        except Exception as error:
            cause = getattr(self.interface, "failure", None) or error
            record_failure(self, cause)
            raise

    def is_cached(self, rm_outdated: bool = False) -> tuple[bool, bool]:
        """Tell, as nipype does, whether there is a result, and whether it is up to date."""
        cached, updated = super().is_cached(rm_outdated)
        if cached and updated and not self._is_whole():
            return False, False
        return cached, updated

    def _is_whole(self) -> bool:
        try:
            _ = self.result
        except _UNREADABLE:
            return False
        if not isinstance(self.interface, Stage):
            return True
        hashes = read_json(Path(self.output_dir()) / _RECORD)
        return isinstance(hashes, dict) and all(
            Path(name).is_file() and file_sha256(Path(name)) == sha256
            for name, sha256 in hashes.items()
        )
