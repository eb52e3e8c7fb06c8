"""What a person sees who types something wrong, or asks for help."""

import json
import subprocess
import sys
import time

import pytest

from runs import uadbids


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom uadbids.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'ants', 'nipype', 'bids', 'nibabel', 'matplotlib', 'numpy'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Not a medical" in done.stdout


@pytest.mark.slow
def test_help_comes_in_under_a_second():
    uadbids("--help")
    started = time.monotonic()
    assert uadbids("--help").returncode == 0
    assert time.monotonic() - started < 1.0


def test_version():
    assert uadbids("--version").stdout.startswith("uadbids 0.")


def test_commands_without_a_whole_run_in_the_tests_start_as_a_program(tmp_path):
    assert json.loads(uadbids("models", "dense3d").stdout)["name"] == "dense3d"
    done = uadbids("synthesize", tmp_path / "none", tmp_path / "out", "--count", 1)
    assert done.returncode == 2
    assert done.stderr.startswith("uadbids: ") and "Traceback" not in done.stderr


def test_dry_run_shows_scans_and_writes_nothing(here, example_dataset, tmp_path):
    done = here(example_dataset, tmp_path / "out", "participant", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "sub-20_ses-2" in done.stdout
    assert "1 of 1 scans would run" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_models_are_listed_and_shown(here):
    listed = here("models")
    lines = [line.split("\t")[:2] for line in listed.stdout.splitlines()]
    assert lines == [
        ["dense2d", "dense 2D"],
        ["dense3d", "dense 3D"],
        ["spatial2d", "spatial 2D"],
        ["spatial3d", "spatial 3D"],
    ]
    card = json.loads(here("models", "dense3d").stdout)
    assert card["config"]["bottleneck"] == "dense"
    assert card["training"]["sources"] and card["limits"] and card["results"]


WRONG = {
    "no such dataset": (["{tmp}/nothing", "{tmp}/out", "participant"], "does not exist"),
    "unknown participant": (
        ["{data}", "{tmp}/out", "participant", "--participant-label", "99"],
        "There are: 20",
    ),
    "output inside the dataset": (["{data}", "{data}", "participant"], "lies inside the dataset"),
    "work inside the dataset": (
        ["{data}", "{tmp}/out", "participant", "-w", "{data}/work"],
        "choose another by --work-dir",
    ),
    "unknown model": (["{data}", "{tmp}/out", "participant", "--model", "x"], "No model bundle"),
    "no GPU": (["{data}", "{tmp}/out", "participant", "--device", "cuda:7"], "--device cpu"),
    "no HD-BET weights": (
        ["{data}", "{tmp}/out", "participant", "--skull-strip", "hd-bet"],
        "--hd-bet-weights",
    ),
    "no such way of skull-stripping": (
        ["{data}", "{tmp}/out", "participant", "--skull-strip", "bet"],
        "choose one of auto",
    ),
    "residual without threshold": (
        ["{data}", "{tmp}/out", "participant", "--residual", "abs"],
        "give a threshold too",
    ),
    "two thresholds": (
        ["{data}", "{tmp}/out", "participant", "--threshold", "1", "--false-positive-rate", "0.1"],
        "one of threshold, false-positive rate and sensitivity",
    ),
    "unknown sensitivity": (
        ["{data}", "{tmp}/out", "participant", "--sensitivity", "huge"],
        "choose one of low, default, high",
    ),
    "unknown space": (
        ["{data}", "{tmp}/out", "participant", "--output-spaces", "MNI"],
        "choose of orig, the grid of the scan, and template",
    ),
    "output below a file": (
        ["{data}", "{data}/../../__init__.py/out", "participant"],
        "cannot be written",
    ),
    "steps that do not divide": (
        ["train", "{data}", "{tmp}/out", "--steps", "100", "--epoch-steps", "250"],
        "that divides --steps 100",
    ),
    "name that is none": (["train", "{data}", "{tmp}/out", "--name", "a b"], "give letters"),
    "one participant to train on": (["train", "{data}", "{tmp}/out"], "at least two participants"),
    "bundle inside the dataset": (["train", "{data}", "{data}/out"], "lies inside the dataset"),
    "group without outputs": (["{data}", "{tmp}/out", "group"], "participant first"),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_mistakes_end_in_one_sentence(here, arguments, sentence, example_dataset, tmp_path):
    typed = [text.format(tmp=tmp_path, data=example_dataset) for text in arguments]
    done = here(*typed, *([] if "-w" in typed or "group" in typed else ["-w", tmp_path / "work"]))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("uadbids: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_have_bounds(here, seed, example_dataset, tmp_path):
    done = here("train", example_dataset, tmp_path / "out", "--random-seed", str(seed))
    assert done.returncode == 2
    assert "Invalid value for '--random-seed'" in done.stderr


def test_config_file_gives_defaults_and_typed_flags_win(here, example_dataset, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('dry-run = true\nmodel = "nowhere"\n')
    arguments = (example_dataset, tmp_path / "out", "participant", "--config-file", config)
    assert "No model bundle 'nowhere'" in here(*arguments).stderr
    assert here(*arguments, "--model", "dense3d").returncode == 0


def test_config_file_with_an_unknown_flag_is_refused(here, example_dataset, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("nprocz = 2\n")
    done = here(example_dataset, tmp_path / "out", "participant", "--config-file", config)
    assert done.returncode == 2
    assert "nprocz" in done.stderr


def test_foreign_output_folder_is_refused(here, example_dataset, tmp_path):
    about = {"Name": "x", "BIDSVersion": "1.10.0", "GeneratedBy": [{"Name": "fMRIPrep"}]}
    (tmp_path / "dataset_description.json").write_text(json.dumps(about))
    done = here(example_dataset, tmp_path, "participant")
    assert done.returncode == 2
    assert "did not make" in done.stderr


def test_dataset_without_one_usable_scan_is_refused(here, tmp_path):
    anat = tmp_path / "raw" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (tmp_path / "raw" / "dataset_description.json").write_text('{"Name": "x"}')
    (anat / "sub-01_FLAIR.nii.gz").symlink_to("not-fetched")
    done = here(tmp_path / "raw", tmp_path / "out", "participant", "-w", tmp_path / "work")
    assert done.returncode == 2
    assert "fetch it" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_pages_made_again_tell_of_the_model_that_made_the_outputs(here, example_dataset, tmp_path):
    card = json.loads(here("models", "dense3d").stdout) | {"name": "mine"}
    del card["calibration"]["thresholds"]  # what is shown in place of the table
    card["calibration"] |= {"probabilities": [0, 1], "residuals": [0, 1]}
    told = tmp_path / "sub-20/ses-2/anat/sub-20_ses-2_space-orig_label-anomaly_mask.json"
    for path, content in (
        (told, {"OutputSHA256": {}}),
        (tmp_path / "code" / "model" / "model_card.json", card),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    done = here(example_dataset, tmp_path, "participant", "--reports-only")
    assert done.returncode == 0, done.stderr
    assert "The model: mine" in (tmp_path / "sub-20.html").read_text()
    assert json.loads((tmp_path / "code/model/model_card.json").read_text())["name"] == "mine"
