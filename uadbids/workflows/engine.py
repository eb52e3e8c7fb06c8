"""Run a graph with nipype: every scan to its end, whatever happens to the others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from nipype import config as nipype_config
from nipype import logging as nipype_logging
from nipype.pipeline import engine as pe
from nipype.pipeline import plugins
from nipype.pipeline.plugins.base import GraphPluginBase, SGELikeBatchManagerBase
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer

from uadbids import __version__
from uadbids.errors import UsageError
from uadbids.workflows.cluster import PATIENCE, cluster_plugin
from uadbids.workflows.options import RunOptions

_RAISED = re.compile(
    r"^\t?([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Killed)): (.+)$", re.MULTILINE
)

_LOST = (
    "uadbids.errors.ScanError: the process of this step, or of one beside it, was ended from "
    "outside, most likely for want of memory; run again with a smaller --nprocs"
)

Status = Literal["start", "end", "exception"]
OnStatus = Callable[[str, str, Status], None]
"""Called with the name of the scan's graph, the name of the step, and what happened to it."""


@dataclass(frozen=True)
class Crash:
    """A step that failed.

    Attributes
    ----------
    graph : str
        Name of the scan's graph.
    step : str
        Name of the step.
    reason : str
        The error's own sentence.
    crash_file : Path
        nipype's record, with the traceback.
    """

    graph: str
    step: str
    reason: str
    crash_file: Path


def graph_name(scan_name: str) -> str:
    """Return the name of a scan's graph: nipype allows letters, digits and underscores."""
    return re.sub(r"\W", "_", scan_name) + "_wf"


def new_root(prefix: str, work_dir: Path) -> pe.Workflow:
    """Make an empty graph; the version names its folder, so results of other code stay unused."""
    version = re.sub(r"\W", "_", __version__)
    return pe.Workflow(name=f"{prefix}_{version}_wf", base_dir=str(work_dir))


def remove_results(workflow: pe.Workflow) -> None:
    """Remove what a graph of graphs has worked out; others may be at work in the same folder."""
    folder = Path(workflow.base_dir, workflow.name)
    for name in {node.partition(".")[0] for node in workflow.list_node_names()}:
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def set_crash_dir(workflow: pe.Workflow, folder: Path) -> None:
    """Let every step of a graph write its crash files to a folder."""
    workflow.config["execution"] = {"crashdump_dir": str(folder), "crashfile_format": "txt"}
    for node in workflow._get_all_nodes():
        node.config = deepcopy(workflow.config)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    ended : frozenset of (str, str)
        Graph and step of every step that came to its end.
    error : str
        What nipype raised first; empty where all went well.
    """

    ended: frozenset[tuple[str, str]]
    error: str


def run_graph(workflow: pe.Workflow, options: RunOptions, on_status: OnStatus) -> Outcome:
    """Run all steps of a graph; a failed step only stops those that need its result.

    Parameters
    ----------
    workflow : Workflow
        Graph of graphs: ``<root>.<scan>...<step>``.
    options : RunOptions
        Processes, memory, plugin.
    on_status : callable
        Told of every step that starts, ends or fails.

    Returns
    -------
    Outcome
        Steps that ended. One that did not, and left no crash file, was never started.
    """
    nipype_logging.update_logging(nipype_config)
    if options.write_graph:
        # Only the text: pictures need graphviz, which not every machine has.
        workflow.write_hierarchical_dotfile(f"{options.work_dir}/graph.dot")

    ended: set[tuple[str, str]] = set()

    def told(node: pe.Node, status: Status) -> None:
        names = node.fullname.split(".")
        if status == "end":
            ended.add((names[1], names[-1]))
        on_status(names[1], names[-1], status)

    plugin, arguments = _plugin(options, told)
    workflow.config["execution"] = {
        "stop_on_first_crash": str(options.stop_on_first_crash).lower(),
        **(PATIENCE if isinstance(plugin, SGELikeBatchManagerBase) else {}),
    }
    # nipype raises the first failure once all is done; the crash files hold every one.
    error = ""
    try:
        workflow.run(plugin=plugin, plugin_args=arguments)
    except RuntimeError as raised:
        error = str(raised).strip().rpartition("\n")[2]
    return Outcome(frozenset(ended), error)


class ScanByScan(MultiProcPlugin):
    """nipype's MultiProc that finishes one scan before it begins the next.

    In nipype's own order the first step of every scan comes before the second of any: a study
    that is interrupted half-way would have no result at all. And where a process is killed, for
    want of memory in the main, nipype waits for its result for ever; here the step has failed.
    """

    def _async_callback(self, args: Future[Any]) -> None:
        if args.exception() is None:
            super()._async_callback(args)

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        future = self._task_obj[taskid]
        if future.done() and future.exception() is not None:
            return {"result": None, "traceback": [f"{_LOST}\n"], "taskid": taskid}
        result: dict[str, Any] | None = super()._get_result(taskid)
        return result

    def _submit_job(self, node: pe.Node, updatehash: bool = False) -> int:
        try:
            return int(super()._submit_job(node, updatehash))
        except BrokenProcessPool:
            # One lost process ends its whole pool; the other scans get a new one.
            self.pool = ProcessPoolExecutor(
                max_workers=self.processors,
                initializer=process_initializer,
                initargs=(self._cwd,),
                mp_context=get_context(self.plugin_args["mp_context"]),
            )
            return int(super()._submit_job(node, updatehash))

    def _sort_jobs(self, jobids: Iterable[int], scheduler: str | None = None) -> list[int]:
        return sorted(jobids, key=lambda job: (self._rank[self._scan(job)], job))

    def _generate_dependency_list(self, graph: Any) -> None:
        super()._generate_dependency_list(graph)
        scans = dict.fromkeys(self._scan(job) for job in range(len(self.procs)))
        self._rank = {scan: place for place, scan in enumerate(sorted(scans))}

    def _scan(self, job: int) -> str:
        return str(self.procs[job].fullname).split(".")[1]


def _plugin(
    options: RunOptions, told: Callable[[pe.Node, Status], None]
) -> tuple[str | ScanByScan | SGELikeBatchManagerBase, dict[str, Any]]:
    nothing: dict[str, Any] = {}
    chosen = options.use_plugin
    name, given = ("MultiProc", nothing) if chosen is None else _read_plugin(chosen)
    if name != "MultiProc":
        given = {**given, "status_callback": told}
        kind = getattr(plugins, f"{name}Plugin")
        if issubclass(kind, SGELikeBatchManagerBase):
            return cluster_plugin(kind, given), {}
        return name, given
    arguments: dict[str, Any] = {
        "status_callback": told,
        "n_procs": options.nprocs,
        # Forked children of a process with threads can hang; the fork server has none.
        "mp_context": "forkserver",
        "raise_insufficient": False,
        # One network at a time on the GPU, however many scans run: memory there is the limit.
        "n_gpu_procs": 1,
    }
    if options.mem_mb is not None:
        arguments["memory_gb"] = options.mem_mb / 1024
    return ScanByScan({**arguments, **given}), {}


def _read_plugin(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a nipype plugin file as fMRIPrep's users write it: ``plugin`` and ``plugin_args``."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
        name, arguments = content["plugin"], dict(content.get("plugin_args") or {})
    except (OSError, yaml.YAMLError, TypeError, ValueError, KeyError) as error:
        raise UsageError(
            f"{path}: this is no plugin file; it needs the keys 'plugin' and 'plugin_args' (YAML)"
        ) from error
    plugin = getattr(plugins, f"{name}Plugin", None)
    if plugin is None:
        raise UsageError(f"{path}: nipype has no plugin {name!r}")
    if issubclass(plugin, GraphPluginBase):
        raise UsageError(
            f"{path}: the plugin {name} hands everything over and ends before its jobs do; choose "
            "one that waits for them, such as SLURM, SGE or PBS"
        )
    return name, arguments


def read_crashes(folder: Path) -> list[Crash]:
    """Read the crash files of one run, oldest first."""
    return [_read_crash(path) for path in sorted(folder.glob("crash-*.txt"))]


def _read_crash(path: Path) -> Crash:
    text = path.read_text(errors="replace")
    names = text.partition("\n")[0].removeprefix("Node: ").split(".")
    # nipype wraps the error of an interface; the last exception that is named is the cause.
    raised = _RAISED.findall(text)
    kind, sentence = raised[-1] if raised else ("", text.strip().rpartition("\n")[2])
    ours = kind.startswith("uadbids.errors")
    reason = sentence if ours or not kind else f"{kind}: {sentence}"
    return Crash(names[1], names[-1], reason, path)
