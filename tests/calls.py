"""Nodes whose body is a function of this file: processes that run nodes can import it."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

from nipype.interfaces.base import BaseInterfaceInputSpec, traits
from nipype.pipeline import engine as pe

from uadbids.errors import ScanError
from uadbids.run.scheduler.graph import new_root, set_crash_dir
from uadbids.run.scheduler.nodes import Stage, Step


class CallInputSpec(BaseInterfaceInputSpec):
    body = traits.Str(mandatory=True)
    after = traits.Any()


class Call(Stage):
    """Calls a function of this file by its name, with the node's folder."""

    input_spec = CallInputSpec

    def _call(self, folder: Path) -> object:
        return globals()[self.inputs.body](folder)


def graph(work: Path, **scans: tuple[str, ...]) -> pe.Workflow:
    """Graph of scans, each with the nodes ``(name, body), ...``, one after the other."""
    root = new_root(work)
    for name, bodies in scans.items():
        workflow = pe.Workflow(name=name)
        steps = [Step(Call(body=body), node) for node, body in bodies]
        workflow.add_nodes(steps)
        for before, after in pairwise(steps):
            workflow.connect(before, "made", after, "after")
        set_crash_dir(workflow, work / "log")
        root.add_nodes([workflow])
    return root


def well(folder: Path) -> int:
    return 1


def joined(folder: Path, scan: Path, end: str = "") -> str:
    return scan.read_text() + end


def writes(folder: Path) -> Path:
    path = folder / "made.bin"
    path.write_bytes(bytes(range(256)))
    return path


def faulty(folder: Path) -> None:
    raise ScanError("x.nii: no image")


def full_disk(folder: Path) -> None:
    raise OSError(28, "No space left on device")


def full_disk_while_failing(folder: Path) -> None:
    try:
        faulty(folder)
    except ScanError:
        raise OSError(28, "No space left on device") from None


def no_memory(folder: Path) -> None:
    raise MemoryError("Unable to allocate 3 GiB")


def mistaken(folder: Path) -> None:
    raise KeyError("a")


def killed(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def long(folder: Path) -> None:
    (folder / "begun").touch()
    time.sleep(600)


def waits_for_sub_02(folder: Path) -> int:
    for _ in range(300):
        if list(folder.parents[1].glob("sub_02_wf/derive/result_*")):
            return 1
        time.sleep(0.1)
    raise TimeoutError
