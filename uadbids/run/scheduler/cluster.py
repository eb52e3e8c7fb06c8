"""nipype's plugins that hand each step to a cluster, where a cluster may end a job."""

from __future__ import annotations

from typing import Any

from nipype.pipeline import engine as pe
from nipype.pipeline.plugins.base import SGELikeBatchManagerBase

from uadbids.errors import ScanError
from uadbids.run.scheduler.failures import record_failure

# A cluster's controller has other work than telling how jobs are, and its file system may show late
# what another node has written.
PATIENCE = {"poll_sleep_duration": "2", "job_finished_timeout": "30"}

_LOST = (
    "the job of this step ended without a result, most likely for want of memory or time; ask "
    "for more by sbatch_args (or qsub_args) in the plugin file"
)


def cluster_plugin(
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
                return {**result, "traceback": [f"{_LOST}\n"], "is_lost": True}
            return result

        def _report_crash(self, node: pe.Node, result: dict[str, Any] | None = None) -> str:
            if result is not None and result.get("is_lost"):
                record_failure(node, ScanError(_LOST))
            return str(super()._report_crash(node, result))

    return Patient(plugin_args=arguments)
