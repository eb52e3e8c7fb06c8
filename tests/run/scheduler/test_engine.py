"""How runs of nipype are started, and how their failures are read."""

import os
import signal
import subprocess
import sys
import threading
import time

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from nipype.pipeline.plugins import base

from uadbids.errors import UsageError
from uadbids.run.environment import prepare_environment
from uadbids.run.nodes.preprocess import Conform
from uadbids.run.nodes.step import Step
from uadbids.run.options import RunOptions
from uadbids.run.scheduler.engine import (
    _read_plugin,
    graph_name,
    new_root,
    read_crashes,
    remove_results,
    run_graph,
    set_crash_dir,
)

WRAPPED = """\
Node: uadbids_wf.sub_01_wf.flair_preproc_wf.conform
Working directory: /work

Node inputs:

in_file = /data/x.nii.gz

Traceback (most recent call last):
  File "nodes.py", line 787, in _run_command
    raise NodeExecutionError(msg)
nipype.pipeline.engine.nodes.NodeExecutionError: Exception raised while executing Node conform.

Traceback:
\tTraceback (most recent call last):
\t  File "conform.py", line 142, in _single_volume
\t    raise ScanError(
\t{error}

"""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("uadbids.errors.ScanError: x.nii.gz: no image: really", "x.nii.gz: no image: really"),
        ("KeyError: 'a'", "KeyError: 'a'"),
        (
            "MemoryError: Unable to allocate 3 GiB",
            "there is not enough memory for this scan; run again with a smaller --nprocs, or give "
            "more (MemoryError: Unable to allocate 3 GiB)",
        ),
    ],
)
def test_crash_file_gives_the_innermost_sentence(tmp_path, error, reason):
    (tmp_path / "crash-20260101-x.txt").write_text(WRAPPED.format(error=error))
    (crash,) = read_crashes(tmp_path)
    assert (crash.graph, crash.step, crash.reason) == ("sub_01_wf", "conform", reason)


def test_crash_file_without_exception_gives_its_last_line(tmp_path):
    text = "Node: a.sub_01_wf.n4\nWorking directory: /w\nthe worker was lost\n"
    (tmp_path / "crash-1.txt").write_text(text)
    assert read_crashes(tmp_path)[0].reason == "the worker was lost"


labels = st.text("abcXYZ019", min_size=1, max_size=6)


@given(st.lists(st.tuples(labels, labels), unique=True, min_size=2, max_size=5))
def test_graph_names_are_legal_and_differ(scans):
    names = {graph_name(f"sub-{subject}_ses-{session}") for subject, session in scans}
    assert len(names) == len(scans)
    assert all(name.isidentifier() for name in names)


def test_plugin_file_is_read(tmp_path):
    path = tmp_path / "plugin.yml"
    path.write_text("plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=4G\n")
    assert _read_plugin(path) == ("SLURM", {"sbatch_args": "--mem=4G"})


@pytest.mark.parametrize("text", ["", "plugin_args: {}", "- a\n- b", "{"])
def test_other_files_are_no_plugin_files(tmp_path, text):
    path = tmp_path / "plugin.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match="no plugin file"):
        _read_plugin(path)


def test_environment_keeps_nipype_out_of_home(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    prepare_environment(tmp_path, random_seed=7, threads=1)
    assert os.environ["NIPYPE_CONFIG_DIR"] == str(tmp_path / ".nipype")
    assert os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] == "1"
    assert os.environ["ANTS_RANDOM_SEED"] == "7"
    assert "check_version = false" in (tmp_path / ".nipype" / "nipype.cfg").read_text()


def test_unknown_plugin_is_refused(tmp_path):
    path = tmp_path / "plugin.yml"
    path.write_text("plugin: Slurmm\n")
    with pytest.raises(UsageError, match="no plugin 'Slurmm'"):
        _read_plugin(path)


def test_plugin_that_ends_before_its_jobs_is_refused(tmp_path):
    path = tmp_path / "plugin.yml"
    path.write_text("plugin: SLURMGraph\n")
    with pytest.raises(UsageError, match="ends before its jobs do"):
        _read_plugin(path)


def test_nameless_user_gets_a_name(tmp_path, monkeypatch):
    nameless = {key: value for key, value in os.environ.items() if key != "LOGNAME"}
    monkeypatch.setattr(os, "environ", nameless)
    prepare_environment(tmp_path, random_seed=7, threads=1)
    assert os.environ["LOGNAME"] == f"uid{os.getuid()}"


def test_results_of_other_runs_are_spared(tmp_path):
    root = new_root("uadbids", tmp_path)
    workflow = pe.Workflow(name="sub_01_wf")
    workflow.add_nodes([pe.Node(niu.IdentityInterface(["out"]), "write")])
    root.add_nodes([workflow])
    folder = tmp_path / root.name
    for name in ("sub_01_wf", "sub_02_wf"):
        (folder / name / "write").mkdir(parents=True)
    remove_results(root)
    assert [path.name for path in folder.iterdir()] == ["sub_02_wf"]
    (folder / "sub_02_wf" / "write").rmdir()
    (folder / "sub_02_wf").rmdir()
    remove_results(root)
    assert not folder.exists()


def _killed():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def _well():
    return 1


@pytest.mark.slow
def test_killed_process_fails_its_scan_and_the_next_one_runs(tmp_path):
    root = new_root("uadbids", tmp_path)
    for name, body in (("sub_01_wf", _killed), ("sub_02_wf", _well)):
        workflow = pe.Workflow(name=name)
        workflow.add_nodes([pe.Node(niu.Function(function=body, output_names=["out"]), "write")])
        set_crash_dir(workflow, tmp_path / "log")
        root.add_nodes([workflow])
    outcome = run_graph(root, RunOptions(work_dir=tmp_path), lambda *_: None)
    assert outcome.ended == {("sub_02_wf", "write")}
    (crash,) = read_crashes(tmp_path / "log")
    assert crash.graph == "sub_01_wf"
    assert "want of memory" in crash.reason


def _waits_for_sub_02():
    import time
    from pathlib import Path

    work = Path.cwd().parents[1]
    for _ in range(300):
        if list(work.glob("sub_02_wf/write/result_*")):
            return 1
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.slow
def test_a_step_that_has_become_ready_waits_for_no_other(tmp_path):
    """Its forerunner ran in the first process, which waits for the end of steps in others."""
    root = new_root("uadbids", tmp_path)
    slow = pe.Workflow(name="sub_01_wf")
    slow.add_nodes([pe.Node(niu.Function(function=_waits_for_sub_02, output_names=["out"]), "n4")])
    quick = pe.Workflow(name="sub_02_wf")
    first = pe.Node(niu.Function(function=_well, output_names=["out"]), "conform")
    facts = pe.Node(niu.Merge(1), "facts", run_without_submitting=True)
    last = pe.Node(niu.Merge(1), "write")
    quick.connect([(first, facts, [("out", "in1")]), (facts, last, [("out", "in1")])])
    for workflow in (slow, quick):
        set_crash_dir(workflow, tmp_path / "log")
    root.add_nodes([slow, quick])
    outcome = run_graph(root, RunOptions(work_dir=tmp_path, nprocs=2), lambda *_: None)
    assert outcome.error == ""
    assert ("sub_01_wf", "n4") in outcome.ended


_IMPORTED = """
import sys
from pathlib import Path
from uadbids.run.environment import prepare_environment
work = Path(sys.argv[1])
prepare_environment(work, random_seed=7, threads=int(sys.argv[2]))
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from uadbids.run.scheduler.engine import new_root, run_graph
from uadbids.run.options import RunOptions

def looks():
    import os, sys
    from pathlib import Path
    Path("told").write_text(str("torch" in sys.modules))

if __name__ == "__main__":
    root, workflow = new_root("uadbids", work), pe.Workflow(name="sub_01_wf")
    workflow.add_nodes([pe.Node(niu.Function(function=looks), "write")])
    root.add_nodes([workflow])
    run_graph(root, RunOptions(work_dir=work), lambda *_: None)
    print(*(path.read_text() for path in work.rglob("told")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "imported"), [("1", "True"), ("2", "False")])
def test_libraries_are_imported_once_for_all_processes(tmp_path, threads, imported):
    """Where they would start threads that a fork loses, by each process for itself."""
    script = tmp_path / "looks.py"
    script.write_text(_IMPORTED)
    command = [sys.executable, script, tmp_path, threads]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [imported], done.stderr


def test_the_first_process_builds_graphs_without_torch_and_ants(tmp_path):
    code = (
        "import sys\nimport uadbids.run.graphs.scan, uadbids.run.graphs.cohort\n"
        "import uadbids.run.participant, uadbids.run.setup, uadbids.preproc.hd_bet\n"
        "sys.exit(', '.join(sorted({'ants', 'matplotlib', 'torch'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _long():
    import time
    from pathlib import Path

    Path("begun").touch()
    time.sleep(600)


def _one_step(folder, body):
    root = new_root("uadbids", folder)
    workflow = pe.Workflow(name="sub_01_wf")
    workflow.add_nodes([Step(niu.Function(function=body, output_names=["out"]), "write")])
    set_crash_dir(workflow, folder / "log")
    root.add_nodes([workflow])
    return root


@pytest.mark.slow
def test_sigterm_stops_a_run_at_once(tmp_path):
    def stop():
        while not list(tmp_path.rglob("begun")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_graph(_one_step(tmp_path, _long), RunOptions(work_dir=tmp_path), lambda *_: None)
    assert time.monotonic() - started < 60
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
def test_a_crash_file_that_cannot_be_written_does_not_stop_the_others(tmp_path):
    def fails():
        raise OSError(28, "No space left on device")

    root = _one_step(tmp_path, fails)
    (tmp_path / "log").touch()  # a file where the folder of the crash files should be
    outcome = run_graph(root, RunOptions(work_dir=tmp_path), lambda *_: None)
    assert outcome.ended == frozenset()
    assert outcome.unrecorded["sub_01_wf"].startswith("the disk is full; make room")


def test_a_result_that_cannot_be_read_is_made_again(tmp_path):
    step = Step(niu.Function(function=_well, output_names=["out"]), "write", base_dir=tmp_path)
    step.run()
    assert step.is_cached() == (True, True)
    result = tmp_path / "write" / "result_write.pklz"
    result.write_bytes(result.read_bytes()[:-5])
    assert step.is_cached() == (False, False)
    step.run()
    assert step.is_cached() == (True, True)


def test_a_stage_whose_file_was_altered_is_made_again(tmp_path):
    data = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    nib.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "scan.nii")
    step = Step(Conform(in_file=str(tmp_path / "scan.nii")), "conform", base_dir=tmp_path)
    step.config = {"execution": {"remove_unnecessary_outputs": "false"}}  # as in environment.py
    step.run()
    assert step.is_cached() == (True, True)
    made = tmp_path / "conform" / "conformed.nii.gz"
    sound = made.read_bytes()
    made.write_bytes(sound[:-1])
    assert step.is_cached() == (False, False)
    step.run()
    assert made.read_bytes() == sound
    assert step.is_cached() == (True, True)


def test_nipype_waits_by_a_clock_that_nobody_sets():
    assert base.time is time.monotonic
