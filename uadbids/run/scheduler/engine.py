"""Run a graph with nipype: every scan to its end, whatever happens to the others."""

import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nipype import config as nipype_config
from nipype import logging as nipype_logging
from nipype.pipeline import engine as pe
from nipype.pipeline import plugins
from nipype.pipeline.plugins.base import GraphPluginBase, SGELikeBatchManagerBase

from uadbids.errors import ScanError, UsageError
from uadbids.run.options import RunOptions
from uadbids.run.scheduler.failures import read_crashes, record_failure, sentence
from uadbids.run.scheduler.pool import EAGERNESS, ScanByScan

Status = Literal["start", "end", "exception"]
OnStatus = Callable[[str, str, Status], None]
"""Called with the name of the scan's graph, the name of the step, and what happened to it."""

# A cluster's controller has other work than telling how jobs are, and its file system may show late
# what another node has written.
PATIENCE = {"poll_sleep_duration": "2", "job_finished_timeout": "30"}
_LOST_JOB = (
    "the job of this step ended without a result, most likely for want of memory or time; ask "
    "for more by sbatch_args (or qsub_args) in the plugin file"
)


def remove_results(workflow: pe.Workflow, keep: Collection[str] = ()) -> None:
    """Remove what the nodes of a graph of graphs have worked out, but for graphs to keep.

    Others may be at work in the same folder.
    """
    folder = Path(workflow.base_dir, workflow.name)
    for name in workflow.list_node_names():
        graph, _, node = name.partition(".")
        if graph not in keep:
            shutil.rmtree(folder / graph / node, ignore_errors=True)
            with suppress(OSError):
                (folder / graph).rmdir()
    with suppress(OSError):
        folder.rmdir()


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    # Graph and step of every step that came to its end.
    ended: frozenset[tuple[str, str]] = frozenset()
    error: str = ""  # what nipype raised first; empty where all went well
    # Graph -> why it failed, as far as it is known without records (see `failures`).
    failures: Mapping[str, str] = field(default_factory=dict)

    def reason(self, graph: str, folder: Path) -> tuple[str, Path | None]:
        """Say why a graph did not come to its end, and where its crash file is.

        By the record in the folder of crash files where there is one; else as far as is known.
        """
        crash = read_crashes(folder).get(graph)
        reason = (crash.reason if crash else "") or self.failures.get(graph) or self.error
        return reason, crash.crash_file if crash else None


def run_graph(workflow: pe.Workflow, options: RunOptions, on_status: OnStatus) -> Outcome:
    """Run all steps of a graph of graphs; a failed one only stops those that need its result.

    `on_status` is called for every step that starts, ends or fails. A step that did not end, and
    left no record, was never started.
    """
    nipype_logging.update_logging(nipype_config)
    if options.write_graph:
        # Only the text: pictures need graphviz, which not every machine has.
        workflow.write_hierarchical_dotfile(f"{options.work_dir}/graph.dot")

    ended: set[tuple[str, str]] = set()

    def note(node: pe.Node, status: Status) -> None:
        names = node.fullname.split(".")
        if status == "end":
            ended.add((names[1], names[-1]))
        on_status(names[1], names[-1], status)

    plugin, arguments = _plugin(options, note)
    workflow.config["execution"] = {
        "stop_on_first_crash": str(options.stop_on_first_crash).lower(),
        **(EAGERNESS if isinstance(plugin, ScanByScan) else {}),
        **(PATIENCE if isinstance(plugin, SGELikeBatchManagerBase) else {}),
    }
    # nipype raises the first failure once all is done; the crash files hold every one.
    error = ""
    try:
        workflow.run(plugin=plugin, plugin_args=arguments)
    except RuntimeError as raised:
        # Of several failures, nipype raises how many they are, and the first as the cause.
        error = sentence(raised.__cause__ or raised)
    failures = plugin.failures if isinstance(plugin, ScanByScan) else {}
    return Outcome(frozenset(ended), error, failures)


def _plugin(
    options: RunOptions, note: Callable[[pe.Node, Status], None]
) -> tuple[str | ScanByScan | SGELikeBatchManagerBase, dict[str, Any]]:
    name, given = _read_plugin(options.use_plugin) if options.use_plugin else ("MultiProc", {})
    if name != "MultiProc":
        given = {**given, "status_callback": note}
        kind = getattr(plugins, f"{name}Plugin")
        if issubclass(kind, SGELikeBatchManagerBase):
            return _cluster_plugin(kind, given), {}
        return name, given
    arguments: dict[str, Any] = {
        "status_callback": note,
        "n_procs": options.nprocs,
        # Forked children of a process with threads can hang; the fork server has none.
        "mp_context": "forkserver",
        "raise_insufficient": False,
    }
    if options.mem_mb is not None:
        arguments["memory_gb"] = options.mem_mb / 1024
    return ScanByScan({**arguments, **given}), {}


def _cluster_plugin(
    kind: type[SGELikeBatchManagerBase], arguments: dict[str, Any]
) -> SGELikeBatchManagerBase:
    """Make one of nipype's plugins for clusters, for which a job that the cluster ended has failed.

    nipype's own stumbles over such a job when it writes the crash file, and the run is over.
    """

    class Patient(kind):
        def _get_result(self, taskid: int) -> dict[str, Any] | None:
            result: dict[str, Any] | None = super()._get_result(taskid)
            # Lines are what a step has raised; a text says that there is no result.
            if result is not None and isinstance(result["traceback"], str):
                return {**result, "traceback": [f"{_LOST_JOB}\n"], "is_lost": True}
            return result

        def _report_crash(self, node: pe.Node, result: dict[str, Any] | None = None) -> str:
            if result is not None and result.get("is_lost"):
                record_failure(node, ScanError(_LOST_JOB))
            return str(super()._report_crash(node, result))

    return Patient(plugin_args=arguments)


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
