"""A whole training on real scans, small: preprocess, fit, stop, go on, calibrate, use."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

LABELS = "abcdefgh"
SMALL = ("--channels", 2, 4, 8, 16, "--latent", 16, "--epoch-steps", 50, "--exclude-hyperintense")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "uadbids", *map(str, arguments)]


def uadbids(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, example_flair) -> Path:
    """Eight participants: the example scan at 1.8 mm, shifted, mirrored, with other noise."""
    root = tmp_path_factory.mktemp("cohort") / "raw"
    root.mkdir()
    about = {"Name": "cohort", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    groups = [f"sub-{label}\tcontrol" for label in LABELS] + ["sub-z\tpatient"]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tgroup", *groups]) + "\n")
    image = nib.load(example_flair)
    coarse = ndimage.zoom(np.asarray(image.dataobj, dtype=np.float32), (0.5, 0.5, 1), order=1)
    affine = image.affine @ np.diag([2, 2, 1, 1])
    for number, label in enumerate(LABELS):
        draw = np.random.default_rng(number)
        data = np.roll(coarse, number - 4, axis=1)[:: (-1) ** number]
        data = np.maximum(data + draw.normal(0, 2, data.shape), 0).astype(np.int16)
        path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        nib.Nifti1Image(data, affine).to_filename(path)
    return root


@pytest.fixture(scope="module")
def work(cohort) -> Path:
    return cohort.parent / "work"


@pytest.fixture(scope="module")
def call(cohort, work) -> tuple[object, ...]:
    """Everything on."""
    flags = ("--name", "tiny", "--select", "group == 'control'", "--validation-label", "g", "h")
    place = ("train", cohort, cohort.parent / "bundles", "-w", work, "--nprocs", 2)
    return *place, *flags, *SMALL, "--steps", 100, "--patience", 9, "--checkpoint-steps", 50


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
def test_same_command_goes_on_at_once(trained, cohort):
    folder, done = trained
    assert folder == cohort.parent / "bundles" / "tiny"
    assert "8 of 8 scans ready from before" in done.stderr
    assert "goes on from" in done.stderr
    assert "step 100/100" in done.stderr
    assert "step 50/100" not in done.stderr
    assert "registration" not in done.stderr


@pytest.mark.slow
def test_bundle_says_what_it_was_trained_on(trained):
    folder, _ = trained
    card = json.loads((folder / "card.json").read_text())
    training = card["training"]
    assert (training["n_scans"], training["n_held_out_subjects"]) == (6, 2)
    assert training["select"] == "group == 'control'"
    assert training["brain_mask_methods"] == ["deepbet"]
    assert training["config"]["steps"] == 100
    assert card["config"]["channels"] == [2, 4, 8, 16]
    assert card["calibration"]["n_voxels"] > 100_000
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
    assert "sub-g: input" in figure and "sub-h: input" in figure


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
    done = uadbids("train", cohort, cohort.parent / "bundles", "-w", work, "--nprocs", 2, *flags)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 scans ready from before" in done.stderr
    card = json.loads((cohort.parent / "bundles" / "folded" / "card.json").read_text())
    assert card["training"]["n_scans"] == card["training"]["n_held_out_scans"] == 8
    assert card["calibration"]["n_subjects"] == 8
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
    assert done.stderr.count("8 of 8 scans ready from before") == 1
    assert done.stderr.count("step 50/50") == 1


@pytest.mark.slow
def test_starting_over_is_said(trained, cohort, work):
    flags = ("--name", "tiny", "--no-resume", "--no-augment", "--steps", 50, *SMALL)
    done = uadbids("train", cohort, cohort.parent / "bundles", "-w", work, *flags)
    assert done.returncode == 0, done.stderr
    assert "starts over, without" in done.stderr
    assert "step 50/50" in done.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--validation-label", "y"), "no FLAIR of y"),
        (("--select", "group == 'patient'"), "no FLAIR that can be used of those whom --select"),
    ],
)
def test_mistakes_end_in_a_sentence(cohort, tmp_path, flags, says):
    done = uadbids("train", cohort, tmp_path / "out", "-w", tmp_path / "work", *flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
