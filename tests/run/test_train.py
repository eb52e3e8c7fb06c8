"""A whole training on real scans, small: preprocess, fit, stop, go on, calibrate, use."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from heads import Head, new_dataset, place, save, stripped, without_skull
from runs import command, uadbids
from uadbids.model.bundle import find_bundle, read_card

LABELS = "abcd"
WITH_SKULL = "a"
TINY = ("--channels", 1, 1, 2, 2, "--latent", 8, "--epoch-steps", 50, "--exclude-hyperintense")
SMALL = (*TINY, "--reader", "none")
# Two threads that another test file leaves one core wait for each other, busily.
ONE = ("--nprocs", 1)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, example_flair) -> Path:
    """Four participants: the example at 1.8 mm, shifted, mirrored, with other noise.

    One has a skull, so that a brain mask has to be found.
    """
    root = new_dataset(tmp_path_factory.mktemp("cohort") / "raw")
    groups = [f"sub-{label}\tcontrol" for label in LABELS] + ["sub-z\tpatient"]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tgroup", *groups]) + "\n")
    head = Head.read(example_flair)
    for number, label in enumerate(LABELS):
        draw = np.random.default_rng(number)
        data = np.roll(head.data, number - 2, axis=1)[:: (-1) ** number]
        whole = Head(data, head.affine, head.ball)
        kept = data if label == WITH_SKULL else without_skull(data)
        noisy = np.maximum(kept + draw.normal(0, 2, data.shape), 0) * (kept > 0)
        write = save if label == WITH_SKULL else stripped
        write(place(root, label), whole, data=noisy.astype(np.int16))
    return root


@pytest.fixture(scope="module")
def work(cohort) -> Path:
    return cohort.parent / "work"


@pytest.fixture(scope="module")
def call(cohort, work) -> tuple[object, ...]:
    """Everything on but augmentation, most of a step: the training that starts over has it."""
    flags = ("--name", "tiny", "--select", "group == 'control'", "--validation-label", "c", "d")
    place = ("train", cohort, cohort.parent / "bundles", "-w", work, *ONE)
    length = ("--steps", 100, "--patience", 9, "--checkpoint-steps", 50)
    return *place, *flags, *SMALL, *length, "--no-augment"


@pytest.fixture(scope="module")
def stopped(call) -> tuple[int, list[str]]:
    """Exit status and lines of a training that gets a Ctrl-C after its first epoch."""
    with subprocess.Popen(command(*call), stderr=subprocess.PIPE, text=True) as process:
        lines = list(until_stopped(process))
    return process.returncode, lines


def until_stopped(process: subprocess.Popen[str]) -> Iterator[str]:
    for line in process.stderr or ():
        if "step 50/100" in line:
            process.send_signal(signal.SIGINT)
        yield line


@pytest.fixture(scope="module")
def trained(call, stopped):
    done = uadbids(*call)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()), done


@pytest.mark.slow
def test_stopped_training_leaves_a_checkpoint(stopped, work):
    status, lines = stopped
    assert status == 130, lines
    assert "the same command goes on from here" in lines[-1]
    assert (work / "tiny.pt").is_file()


@pytest.mark.slow
def test_it_says_whom_it_learns_from_and_soon_how_it_goes(stopped):
    _, lines = stopped
    assert lines[0].endswith(", tiny, device: cpu\n")
    assert "to train on: 2 scans of 2 participants, 2 scans of 2 participants held out" in lines[1]
    assert "never tried" in lines[2] and "left to chance" in lines[3]
    assert any("step 11/100  L1 0." in line and line.endswith(" left\n") for line in lines)


@pytest.mark.slow
def test_same_command_goes_on_at_once(trained, cohort):
    folder, done = trained
    assert folder == cohort.parent / "bundles" / "tiny"
    assert "4 of 4 scans ready from before" in done.stderr
    assert "goes on from" in done.stderr
    assert "step 100/100" in done.stderr
    assert "step 50/100" not in done.stderr
    assert "registration" not in done.stderr


@pytest.mark.slow
def test_each_call_has_its_log(trained):
    folder, _ = trained
    logs = [log.read_text() for log in sorted(folder.parent.glob("logs/*/uadbids.log"))]
    assert [log.splitlines()[-1].rpartition(" ")[2] for log in logs[:2]] == ["130", "0"]
    assert "step 50/100" in logs[0] and "step 100/100" in logs[1]


@pytest.mark.slow
def test_bundle_says_what_it_was_trained_on(trained):
    folder, _ = trained
    card = json.loads((folder / "card.json").read_text())
    training = card["training"]
    assert (training["n_scans"], training["n_held_out_subjects"]) == (2, 2)
    assert training["select"] == "group == 'control'"
    assert training["brain_mask_methods"] == ["deepbet", "none"]
    assert training["config"]["steps"] == 100
    assert card["config"]["channels"] == [1, 1, 2, 2]
    assert card["calibration"]["n_voxels"] > 100_000
    assert len(training["healthy_finding_ml"]) == training["n_held_out_scans"]
    assert training["healthy_finding_ml"] == sorted(training["healthy_finding_ml"])
    thresholds = training["thresholds"]
    assert thresholds["0.001"] >= thresholds["0.005"] >= thresholds["0.01"] > 0


@pytest.mark.slow
def test_report_lies_beside_the_bundle(trained):
    folder, _ = trained
    report = folder.with_name("tiny-training")
    names = {
        "history.tsv",
        "history.json",
        "curves.svg",
        "reconstructions.svg",
        "healthy_mean.nii.gz",
        "healthy_sd.nii.gz",
    }
    assert {path.name for path in report.iterdir()} == names
    with (report / "history.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["step"] for row in rows] == ["50", "100"]
    assert sum(int(row["kept"]) for row in rows) == 1
    assert set(json.loads((report / "history.json").read_text())) == set(rows[0])
    figure = (report / "reconstructions.svg").read_text()
    assert "sub-c: input" in figure and "sub-d: input" in figure


@pytest.mark.slow
def test_bundle_runs(trained, cohort, tmp_path):
    folder, _ = trained
    flags = ("--participant-label", "a", "--model", folder, "-w", tmp_path / "work")
    done = uadbids(cohort, tmp_path / "out", "participant", *flags)
    assert done.returncode == 0, done.stderr
    told = tmp_path / "out/sub-a/anat/sub-a_space-orig_label-anomaly_mask.json"
    assert json.loads(told.read_text())["Model"] == "tiny"


@pytest.mark.slow
def test_folds_calibrate_on_everybody(trained, cohort, work):
    flags = ("--name", "folded", "--folds", 2, "--no-augment", "--steps", 50, *SMALL)
    done = uadbids("train", cohort, cohort.parent / "bundles", "-w", work, *ONE, *flags)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 scans ready from before" in done.stderr
    card = json.loads((cohort.parent / "bundles" / "folded" / "card.json").read_text())
    assert card["training"]["n_scans"] == card["training"]["n_held_out_scans"] == 4
    assert card["calibration"]["n_subjects"] == 4
    assert [fold["best_step"] for fold in card["training"]["folds"]] == [50, 50]
    checkpoints = {"folded.pt", "folded_fold-1-of-2.pt", "folded_fold-2-of-2.pt"}
    assert checkpoints == {path.name for path in work.glob("folded*.pt")}


@pytest.mark.slow
def test_two_processes_write_one_bundle(trained, cohort, work):
    flags = ("--name", "both", "--no-augment", "--steps", 50, "--batch-size", 2, *SMALL)
    place = ("train", cohort, cohort.parent / "bundles", "-w", work, "--device", "cpu")
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    several = [sys.executable, *launch, *command(*place, *flags)[1:]]
    done = subprocess.run(several, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(cohort.parent / "bundles" / "both")
    assert done.stderr.count("4 of 4 scans ready from before") == 1
    assert done.stderr.count("step 50/50") == 1


@pytest.mark.slow
def test_starting_over_is_said_and_may_take_the_packaged_reader(trained, cohort, work):
    flags = ("--name", "tiny", "--no-resume", "--steps", 50, *TINY)
    done = uadbids("train", cohort, cohort.parent / "bundles", "-w", work, *ONE, *flags)
    assert done.returncode == 0, done.stderr
    assert "starts over, without" in done.stderr
    assert "step 50/50" in done.stderr
    folder, _ = trained
    card, packaged = (read_card(find_bundle(model)) for model in (folder, "dense3d"))
    assert card.detection == packaged.detection
    assert card.reader.sha256 == packaged.reader.sha256
    assert card.reader.training["taken_from"] == "dense3d"
    assert len(card.training["healthy_finding_ml"]) == card.training["n_held_out_scans"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--validation-label", "y"), "no FLAIR of y"),
        (("--select", "group == 'patient'"), "no FLAIR that can be used of those whom --select"),
        (("--reader", "nobody"), "nobody"),
        (("--reader-pack", __file__), "no pack of the reader's training"),
        (("--reader-pack", __file__, "--reader", "none"), "leave out --reader none"),
        (("--reader-pack", __file__, "--folds", 2), "leave out --folds"),
    ],
)
def test_mistakes_end_in_a_sentence(here, cohort, tmp_path, flags, says):
    done = here("train", cohort, tmp_path / "out", "-w", tmp_path / "work", *flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_says_who_is_in_and_what_it_takes_and_writes_nothing(here, cohort, tmp_path):
    place = ("train", cohort, tmp_path / "out", "-w", tmp_path / "work", *ONE, "--dry-run")
    flags = ("--select", "group == 'control'", "--validation-label", "c", "d")
    done = here(*place, *flags, *SMALL, "--steps", 100)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "to train on: 2 scans of 2 participants: sub-a, sub-b",
        "held out: 2 scans of 2 participants: sub-c, sub-d",
    ]
    assert "to preprocess: 4 of 4 scans, about 80 s" in lines
    assert "1 x 100 steps of" in done.stdout and "memory: about" in lines[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_names_who_is_left_out(here, cohort, tmp_path):
    place = ("train", cohort, tmp_path / "out", "-w", tmp_path / "work", *ONE, "--dry-run")
    done = here(*place, "--select", "participant_id != 'sub-a'", *SMALL, "--steps", 50)
    assert done.returncode == 0, done.stderr
    assert "out: sub-a: --select does not take the participant" in done.stdout
