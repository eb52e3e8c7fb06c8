"""The processes that run the steps: scan by scan, none left behind, none waited for in vain."""

import gc
import os
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread, current_thread, main_thread
from traceback import format_exception
from types import FrameType
from typing import Any, NoReturn

import numpy as np
from nipype.pipeline import engine as pe
from nipype.pipeline.plugins import base
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer

from uadbids.errors import ScanError
from uadbids.run.runlog import join_log, open_log
from uadbids.run.scheduler.failures import graph_of, record_failure, sentence

# nipype sleeps until a time of the wall clock; where that is set back, it would sleep for hours.
base.time = time.monotonic

# What steps import. The server from which processes are forked imports it once, for all of them,
# unless libraries would start threads with it: those do not outlive a fork.
_FOR_STEPS = ["uadbids.pipeline.preprocess", "uadbids.pipeline.detect", "uadbids.pipeline.derive"]
# It waits for the next step to end, not for a time to pass.
EAGERNESS = {"poll_sleep_duration": "0.01"}
_LONGEST_WAIT_SECONDS = 10.0

_LOST = (
    "the process of this step, or of one beside it, was ended from outside, most likely for want "
    "of memory; run again with a smaller --nprocs"
)


class ScanByScan(MultiProcPlugin):
    """nipype's MultiProc that finishes one scan before it begins the next.

    In nipype's own order the first step of every scan comes before the second of any: a study
    that is interrupted half-way would have no result at all. Besides:

    - where a process is killed, for want of memory in the main, nipype waits for its result for
      ever; here the step has failed;
    - processes end with the one that started them, whatever ended it;
    - a step that ends is followed at once, not when nipype looks next;
    - where no crash file can be written, because the disk is full, the other scans go on.
    """

    pool: ProcessPoolExecutor

    def __init__(self, plugin_args: dict[str, Any]) -> None:
        super().__init__(plugin_args=plugin_args)
        self.failures: dict[str, str] = {}
        # nipype's own has no process yet: they start with the first step.
        self.pool.shutdown()
        self.pool = self._new_pool()

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:
        """Run all steps; a stop, by Ctrl-C or SIGTERM, takes the processes along."""
        # nipype collects garbage before every step, in all that was ever imported.
        gc.freeze()
        try:
            with _stopped_by_sigterm():
                super().run(graph, config, updatehash=updatehash)
        finally:
            gc.unfreeze()
            # Of a run that came to its end none is at work any more.
            for process in list((self.pool._processes or {}).values()):
                process.kill()

    def _new_pool(self) -> ProcessPoolExecutor:
        context = get_context(self.plugin_args["mp_context"])
        alone = os.environ.get("OMP_NUM_THREADS") == "1"
        context.set_forkserver_preload(_FOR_STEPS if alone else [])
        return ProcessPoolExecutor(
            max_workers=self.processors,
            initializer=_begin,
            initargs=(self._cwd, open_log()),
            mp_context=context,
        )

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        future = self._task_obj[taskid]
        if not future.done():
            return None
        error = future.exception()
        if error is None:
            return future.result()
        return _failed(ScanError(_LOST) if isinstance(error, BrokenProcessPool) else error, taskid)

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:
        before = np.count_nonzero(self.proc_done)
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        # A step that nipype ran itself, or found done, may have made others ready.
        if np.count_nonzero(self.proc_done) == before:
            running = list(self._task_obj.values())
            wait(running, timeout=_LONGEST_WAIT_SECONDS, return_when=FIRST_COMPLETED)

    def _submit_job(self, node: pe.Node, updatehash: bool = False) -> int:
        self._taskid += 1
        try:
            future = self.pool.submit(_run_node, node, updatehash, self._taskid)
        except BrokenProcessPool:
            # One lost process ends its whole pool; the other scans get a new one.
            self.pool = self._new_pool()
            future = self.pool.submit(_run_node, node, updatehash, self._taskid)
        self._task_obj[self._taskid] = future
        return int(self._taskid)

    def _report_crash(self, node: pe.Node, result: dict[str, Any] | None = None) -> str:
        reason = result.get("error") if result else None
        if reason:
            # A process that was lost has left no record.
            record_failure(node, ScanError(reason))
            self.failures[graph_of(node)] = reason
        with suppress(OSError):
            return str(super()._report_crash(node, result))
        return ""

    def _sort_jobs(self, jobids: Iterable[int], scheduler: str | None = None) -> list[int]:
        return sorted(jobids, key=lambda job: (self._rank[self._scan(job)], job))

    def _generate_dependency_list(self, graph: Any) -> None:
        super()._generate_dependency_list(graph)
        scans = dict.fromkeys(self._scan(job) for job in range(len(self.procs)))
        self._rank = {scan: place for place, scan in enumerate(sorted(scans))}

    def _scan(self, job: int) -> str:
        return graph_of(self.procs[job])


def _run_node(node: pe.Node, updatehash: bool, taskid: int) -> dict[str, Any]:
    """Run a node in a process of the pool; an error comes back as its sentence."""
    try:
        return {"result": node.run(updatehash=updatehash), "traceback": None, "taskid": taskid}
    except Exception as error:  # noqa: BLE001 - as nipype's own; the scheduler raises it
        return _failed(error, taskid, getattr(node.interface, "failure", None))


def _failed(error: BaseException, taskid: int, cause: Exception | None = None) -> dict[str, Any]:
    """Return what nipype makes of a step that failed, and the sentence of its cause."""
    trace, reason = format_exception(error), sentence(cause or error)
    return {"result": None, "traceback": trace, "taskid": taskid, "error": reason}


def _begin(folder: str, log: tuple[Path, bool] | None) -> None:
    """Make a new process ready, and let it end with the one that started it."""
    process_initializer(folder)
    join_log(log)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM, by which clusters and containers end a job, like Ctrl-C."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
