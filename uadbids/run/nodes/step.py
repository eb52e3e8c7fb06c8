"""A node of a graph that takes up an earlier result only if it is as it was written."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path

from nipype.pipeline import engine as pe

from uadbids.run.nodes.base import StageInterface, is_intact

_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, zlib.error, AttributeError, ImportError,
               IndexError, KeyError, TypeError, ValueError)  # fmt: skip


class Step(pe.Node):
    """A step whose intermediate results are checked before they are used again.

    nipype hashes the inputs of a step, and believes that its outputs are still what they were. A
    power cut, a full disk or a hand in the work directory can make that wrong; the step then runs
    again.
    """

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
        is_stage = isinstance(self.interface, StageInterface)
        return not is_stage or is_intact(Path(self.output_dir()))
