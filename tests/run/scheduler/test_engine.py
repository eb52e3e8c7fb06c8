"""How runs of nipype are started, and how their failures are read."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from nipype.pipeline.engine.nodes import NodeExecutionError
from nipype.pipeline.plugins import base

from calls import Call, graph
from uadbids.errors import UsageError
from uadbids.pipeline.records import Compute, DetectOptions, Preprocessed
from uadbids.qc.facts import Facts
from uadbids.run.options import RunOptions
from uadbids.run.scheduler.engine import _read_plugin, remove_results, run_graph
from uadbids.run.scheduler.failures import read_crashes, sentence
from uadbids.run.scheduler.graph import graph_name, new_root
from uadbids.run.scheduler.nodes import Stage, Step
from uadbids.run.setup import prepare_environment

NO_MEMORY = (
    "there is not enough memory for this scan; run again with a smaller --nprocs, or give more "
    "(MemoryError: Unable to allocate 3 GiB)"
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [("faulty", "x.nii: no image"), ("mistaken", "KeyError: 'a'"), ("no_memory", NO_MEMORY)],
)
def test_record_of_a_node_gives_the_sentence_of_its_error(tmp_path, body, reason):
    root = graph(tmp_path, sub_01_wf=[("detect", body)])
    with pytest.raises(NodeExecutionError):
        root.run()
    (crash,) = read_crashes(tmp_path / "log").values()
    assert (crash.graph, crash.step, crash.reason) == ("sub_01_wf", "detect", reason)


def test_a_fault_of_the_machine_is_found_behind_the_one_that_follows_it():
    error = ValueError("the file is cut short")
    error.__context__ = OSError(28, "No space left on device")
    assert sentence(error).startswith("the disk is full; free space")


def test_an_error_that_nipype_put_into_words_gives_its_last_line():
    text = "Exception raised while executing Node n4.\n\nTraceback:\n\tKeyError: 'a'\n"
    assert sentence(NodeExecutionError(text)) == "KeyError: 'a'"


def test_record_that_was_cut_short_is_left_out(tmp_path):
    (tmp_path / "crash-sub_01_wf.json").write_text('{"graph": "sub')
    assert read_crashes(tmp_path) == {}


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
    root = new_root(tmp_path)
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


@pytest.mark.slow
def test_killed_process_fails_its_scan_and_the_next_one_runs(tmp_path):
    root = graph(tmp_path, sub_01_wf=[("derive", "killed")], sub_02_wf=[("derive", "well")])
    outcome = run_graph(root, RunOptions(work_dir=tmp_path), lambda *_: None)
    assert outcome.ended == {("sub_02_wf", "derive")}
    (crash,) = read_crashes(tmp_path / "log").values()
    assert crash.graph == "sub_01_wf"
    assert "want of memory" in crash.reason


@pytest.mark.slow
def test_a_step_that_has_become_ready_waits_for_no_other(tmp_path):
    """Its forerunner's result lay there, so that no process ended before it could begin."""
    root = graph(tmp_path, sub_02_wf=[("preprocess", "well")])
    run_graph(root, RunOptions(work_dir=tmp_path), lambda *_: None)
    root = graph(
        tmp_path,
        sub_01_wf=[("detect", "waits_for_sub_02")],
        sub_02_wf=[("preprocess", "well"), ("derive", "well")],
    )
    outcome = run_graph(root, RunOptions(work_dir=tmp_path, nprocs=2), lambda *_: None)
    assert outcome.error == ""
    assert ("sub_01_wf", "detect") in outcome.ended


_IMPORTED = """
import sys
from pathlib import Path
from uadbids.run.setup import prepare_environment
work = Path(sys.argv[1])
prepare_environment(work, random_seed=7, threads=int(sys.argv[2]))
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from uadbids.run.scheduler.engine import run_graph
from uadbids.run.scheduler.graph import new_root
from uadbids.run.options import RunOptions

def looks():
    import os, sys
    from pathlib import Path
    Path("told").write_text(str("torch" in sys.modules))

if __name__ == "__main__":
    root, workflow = new_root(work), pe.Workflow(name="sub_01_wf")
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
        "import sys\nimport uadbids.run.scheduler.graph\n"
        "import uadbids.run.participant, uadbids.run.setup, uadbids.preproc.hd_bet\n"
        "sys.exit(', '.join(sorted({'ants', 'matplotlib', 'torch'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_sigterm_stops_a_run_at_once(tmp_path):
    def stop():
        while not list(tmp_path.rglob("begun")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    root = graph(tmp_path, sub_01_wf=[("derive", "long")])
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_graph(root, RunOptions(work_dir=tmp_path), lambda *_: None)
    assert time.monotonic() - started < 60
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
def test_a_crash_file_that_cannot_be_written_does_not_stop_the_others(tmp_path):
    root = graph(tmp_path, sub_01_wf=[("derive", "full_disk")])
    (tmp_path / "log").touch()  # a file where the folder of the crash files should be
    outcome = run_graph(root, RunOptions(work_dir=tmp_path), lambda *_: None)
    assert outcome.ended == frozenset()
    assert outcome.failures["sub_01_wf"].startswith("the disk is full; free space")


def test_a_result_that_cannot_be_read_is_made_again(tmp_path):
    step = Step(Call(body="well"), "derive", base_dir=tmp_path)
    step.config = {"execution": {"remove_unnecessary_outputs": "false"}}  # as in setup.py
    step.run()
    assert step.is_cached() == (True, True)
    result = tmp_path / "derive" / "result_derive.pklz"
    result.write_bytes(result.read_bytes()[:-5])
    assert step.is_cached() == (False, False)
    step.run()
    assert step.is_cached() == (True, True)


def test_a_node_whose_file_was_altered_is_made_again(tmp_path):
    step = Step(Call(body="writes"), "detect", base_dir=tmp_path)
    step.config = {"execution": {"remove_unnecessary_outputs": "false"}}  # as in setup.py
    step.run()
    assert step.is_cached() == (True, True)
    made = tmp_path / "detect" / "made.bin"
    sound = made.read_bytes()
    made.write_bytes(sound[:-1])
    assert step.is_cached() == (False, False)
    step.run()
    assert made.read_bytes() == sound
    assert step.is_cached() == (True, True)


def test_other_contents_of_the_same_files_are_other_inputs():
    scan = Preprocessed(*(Path(f"/w/{number}") for number in range(7)), Facts())
    nodes = [Stage(scan=(scan, {"/w/5": content})) for content in ("ab", "cd")]
    first, second = (node.inputs.get_hashval("content")[1] for node in nodes)
    assert first != second


def test_a_stage_calls_its_function_with_what_it_was_given(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("found")
    stage = Stage(function="calls.joined", options={"end": "!"}, scan=(source, {}))
    assert stage.run(cwd=tmp_path).outputs.made == ("found!", {})
    text = Stage(function="calls.joined", files={"scan": str(source)})
    assert text.run(cwd=tmp_path).outputs.made == ("found", {})


def test_threads_and_turns_decide_on_no_result():
    ways = (Compute(), Compute(threads=4, turn=Path("/turn")), Compute(device="cuda"))
    asked = [DetectOptions(Path("/b"), compute=way) for way in ways]
    hashes = [Stage(options={"options": one}).inputs.get_hashval("content")[1] for one in asked]
    assert hashes[0] == hashes[1] != hashes[2]


def test_nipype_waits_by_a_clock_that_nobody_sets():
    assert base.time is time.monotonic
