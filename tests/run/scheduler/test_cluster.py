"""nipype's SLURM plugin, real, with an `sbatch` that runs the job at once."""

import os

import pytest
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from uadbids.run.environment import prepare_environment
from uadbids.run.options import RunOptions
from uadbids.run.scheduler import cluster, engine
from uadbids.run.scheduler.engine import new_root, read_crashes, run_graph, set_crash_dir

SBATCH = """\
#!/bin/sh
for script; do :; done
sh "$script" > /dev/null 2>&1
echo "Submitted batch job $$"
"""


def _well():
    return 1


def _faulty():
    from uadbids.errors import ScanError

    raise ScanError("x.nii: no image")


def _ended_by_the_cluster():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_job_that_the_cluster_ends_fails_its_scan_alone(tmp_path, monkeypatch):
    for name, text in {"sbatch": SBATCH, "squeue": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(os, "environ", {**os.environ})
    os.environ["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    prepare_environment(tmp_path, random_seed=7, threads=1)
    patience = {"poll_sleep_duration": "0.1", "job_finished_timeout": "1"}
    monkeypatch.setattr(engine, "PATIENCE", patience)
    assert patience.keys() == cluster.PATIENCE.keys()
    (tmp_path / "plugin.yml").write_text("plugin: SLURM\n")

    root = new_root("uadbids", tmp_path)
    bodies = {"sub_01_wf": _well, "sub_02_wf": _faulty, "sub_03_wf": _ended_by_the_cluster}
    for name, body in bodies.items():
        workflow = pe.Workflow(name=name)
        workflow.add_nodes([pe.Node(niu.Function(function=body, output_names=["out"]), "write")])
        set_crash_dir(workflow, tmp_path / "log")
        root.add_nodes([workflow])
    options = RunOptions(work_dir=tmp_path, use_plugin=tmp_path / "plugin.yml")
    outcome = run_graph(root, options, lambda *_: None)

    assert outcome.ended == {("sub_01_wf", "write")}
    reasons = {crash.graph: crash.reason for crash in read_crashes(tmp_path / "log")}
    assert reasons.keys() == {"sub_02_wf", "sub_03_wf"}
    assert reasons["sub_02_wf"] == "x.nii: no image"
    assert "ended without a result" in reasons["sub_03_wf"]
