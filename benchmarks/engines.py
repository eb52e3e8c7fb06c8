"""What nipype adds to a scan, and how cores are best used.

``python benchmarks/engines.py SCRATCH`` runs graphs of the shape of ours whose steps do nothing, by
each of nipype's ways; `split` runs real scans by processes and by threads.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import Watched, watched

from uadbids.run.setup import prepare_environment

SCANS, STEPS = 10, 3
# Of threads and processes, how many.
SPLITS = {
    "one process, one thread": (1, 1),
    "two processes, one thread each (default)": (2, 1),
    "one process, two threads": (1, 2),
}


def _graph(work: Path) -> Any:
    """Build graphs with as many nodes as ours, one after the other."""
    from nipype.interfaces import utility as niu
    from nipype.pipeline import engine as pe

    from uadbids.run.scheduler.graph import new_root
    from uadbids.run.scheduler.nodes import Step

    root = new_root(work)
    for number in range(SCANS):
        workflow = pe.Workflow(name=f"sub_{number:02d}_wf")
        steps = [Step(niu.Merge(1), f"step{place}") for place in range(STEPS)]
        for before, after in pairwise(steps):
            workflow.connect(before, "out", after, "in1")
        root.add_nodes([workflow])
    return root


def _as_nipype_does(plugin: str, work: Path, imports: Sequence[str]) -> None:
    for name in imports:
        __import__(name)
    arguments = {"n_procs": 1, "mp_context": "forkserver"}
    _graph(work).run(plugin=plugin, plugin_args=arguments if plugin == "MultiProc" else {})


def _as_we_do(plugin: str, work: Path, imports: Sequence[str]) -> None:
    from uadbids.run.options import RunOptions
    from uadbids.run.scheduler.engine import run_graph

    run_graph(_graph(work), RunOptions(work_dir=work, nprocs=1), lambda *_: None)


ENGINES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "nipype's Linear": (_as_nipype_does, "Linear", ()),
    "nipype's MultiProc": (_as_nipype_does, "MultiProc", ()),
    "nipype's MultiProc, torch and ANTs imported": (
        _as_nipype_does,
        "MultiProc",
        ("torch", "ants"),
    ),
    "MultiProc, scan by scan (ours)": (_as_we_do, "", ()),
}


def _timed(sender: Any, name: str, work: Path) -> None:
    body, plugin, imports = ENGINES[name]
    for module in (*imports, "nipype.pipeline.engine", "uadbids.run.scheduler.engine"):
        __import__(module)
    # The first process that steps run in is started outside of the time that is taken.
    body(plugin, work / "first", imports)
    started = time.monotonic()
    body(plugin, work / "timed", imports)
    sender.send((time.monotonic() - started) / SCANS)


def overheads(scratch: Path) -> dict[str, float]:
    """Wall seconds that each way adds to a scan; a plain call adds none."""
    seconds = {}
    context = multiprocessing.get_context("spawn")
    for name in ENGINES:
        with TemporaryDirectory(dir=scratch) as folder:
            prepare_environment(Path(folder), random_seed=1, threads=1)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_timed, args=(sender, name, Path(folder)))
            process.start()
            seconds[name] = receiver.recv()
            process.join()
    return seconds


def split(bids_dir: Path, labels: Sequence[str], scratch: Path) -> dict[str, Watched]:
    """Run the command on real scans with processes, and with threads."""
    costs = {}
    for name, (processes, threads) in SPLITS.items():
        with TemporaryDirectory(dir=scratch) as folder:
            command = [sys.executable, "-m", "uadbids", bids_dir, f"{folder}/out", "participant"]
            numbers = ("--nprocs", processes, "--omp-nthreads", threads)
            chosen = ("--participant-label", *labels, "-w", f"{folder}/work")
            environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
            costs[name] = watched([*command, *numbers, *chosen], env=environment)
    return costs


if __name__ == "__main__":
    for way, each in overheads(Path(sys.argv[1])).items():
        print(f"{1000 * each:6.0f} ms a scan  {way}")
