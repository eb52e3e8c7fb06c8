"""nipype's SLURM plugin, real, with an `sbatch` that runs the job at once."""

import os
from pathlib import Path

import pytest

import calls
from uadbids.run.options import RunOptions
from uadbids.run.scheduler import engine
from uadbids.run.scheduler.engine import run_graph
from uadbids.run.scheduler.failures import read_crashes
from uadbids.run.setup import prepare_environment

SBATCH = """\
#!/bin/sh
for script; do :; done
sh "$script" > /dev/null 2>&1
echo "Submitted batch job $$"
"""


@pytest.mark.slow
def test_job_that_the_cluster_ends_fails_its_scan_alone(tmp_path, monkeypatch):
    for name, text in {"sbatch": SBATCH, "squeue": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(os, "environ", {**os.environ})
    os.environ["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    prepare_environment(tmp_path, random_seed=7, threads=1)
    patience = {"poll_sleep_duration": "0.1", "job_finished_timeout": "1"}
    assert patience.keys() == engine.PATIENCE.keys()
    monkeypatch.setattr(engine, "PATIENCE", patience)
    (tmp_path / "plugin.yml").write_text("plugin: SLURM\n")

    # The job is a program of its own, which has to find the functions.
    monkeypatch.setenv("PYTHONPATH", str(Path(calls.__file__).parent), prepend=os.pathsep)
    bodies = {"sub_01_wf": "well", "sub_02_wf": "faulty", "sub_03_wf": "killed"}
    root = calls.graph(tmp_path, **{name: [("derive", body)] for name, body in bodies.items()})
    options = RunOptions(work_dir=tmp_path, use_plugin=tmp_path / "plugin.yml")
    outcome = run_graph(root, options, lambda *_: None)

    assert outcome.ended == {("sub_01_wf", "derive")}
    reasons = {crash.graph: crash.reason for crash in read_crashes(tmp_path / "log").values()}
    assert reasons.keys() == {"sub_02_wf", "sub_03_wf"}
    assert reasons["sub_02_wf"] == "x.nii: no image"
    assert "ended without a result" in reasons["sub_03_wf"]
