"""Nodes of a scan: each is one call of a function of the pipeline, imported in the node's process.

So the process that builds the graph needs neither torch nor ANTs.
"""

import pickle
import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.pipeline import engine as pe

from uadbids.bids.files import file_sha256
from uadbids.run.scheduler.failures import record_failure

_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, zlib.error, AttributeError, ImportError,
               IndexError, KeyError, TypeError, ValueError)  # fmt: skip


class StageInputSpec(BaseInterfaceInputSpec):
    """The function of a node, and its arguments but for the node's folder."""

    function = traits.Str(mandatory=True, desc="package.module.name")
    # No traits.File: the functions say in words what is wrong with a file that is gone.
    files = traits.Dict(
        {}, usedefault=True, desc="files, as text; with other contents, they are other inputs"
    )
    options = traits.Dict({}, usedefault=True, desc="what else is known from the start")
    scan = traits.Any(desc="`made` by the node that preprocesses")
    found = traits.Any(desc="`made` by the node that detects")


class StageOutputSpec(TraitedSpec):
    """What a node hands on."""

    made = traits.Any(desc="what the function returned, and the SHA-256 of every file in it")


class Stage(SimpleInterface):
    """A node whose body is one call of a function of the pipeline."""

    input_spec = StageInputSpec
    output_spec = StageOutputSpec
    failure: Exception | None = None

    def _run_interface(self, runtime: Any) -> Any:
        try:
            result = self._call(Path(runtime.cwd))
            hashes = {str(path): file_sha256(path) for path in sorted(set(_paths(result)))}
        except Exception as error:
            # nipype keeps but the text of it.
            self.failure = error
            raise
        self._results["made"] = (result, hashes)
        return runtime

    def _call(self, folder: Path) -> Any:
        given = self.inputs
        module, _, name = given.function.rpartition(".")
        earlier = {"scan": given.scan, "found": given.found}
        return getattr(import_module(module), name)(
            folder=folder,
            **{key: Path(path) for key, path in given.files.items()},
            **{key: made[0] for key, made in earlier.items() if isdefined(made)},
            **given.options,
        )


def _paths(result: Any) -> Iterator[Path]:
    """Files in what a function returned, but for its source."""
    values: Any = ()
    if isinstance(result, Path):
        yield result
    elif is_dataclass(result):
        values = [getattr(result, item.name) for item in fields(result) if item.name != "source"]
    elif isinstance(result, dict):
        values = result.values()
    elif isinstance(result, list | tuple):
        values = result
    for value in values:
        yield from _paths(value)


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
            record_failure(self, getattr(self.interface, "failure", None) or error)
            raise

    def is_cached(self, rm_outdated: bool = False) -> tuple[bool, bool]:
        """Tell, as nipype does, whether there is a result, and whether it is up to date."""
        cached, updated = super().is_cached(rm_outdated)
        if cached and updated and not self._is_whole():
            return False, False
        return cached, updated

    def _is_whole(self) -> bool:
        try:
            outputs = self.result.outputs
            if not isinstance(self.interface, Stage):
                return True
            _, hashes = outputs.made
            return all(file_sha256(Path(name)) == sha256 for name, sha256 in hashes.items())
        except _UNREADABLE:
            return False
