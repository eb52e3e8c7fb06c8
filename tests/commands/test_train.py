"""A whole training on real scans, small: preprocess, fit, calibrate, bundle, use."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.slow


def uadbids(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uadbids", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, example_flair) -> Path:
    """Two participants: the example scan, and its mirror image with other noise."""
    root = tmp_path_factory.mktemp("cohort") / "raw"
    root.mkdir()
    about = {"Name": "cohort", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for label in ("a", "b"):
        path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        if label == "a":
            shutil.copy(example_flair, path)
            continue
        image = nib.load(example_flair)
        data = np.asarray(image.dataobj, dtype=np.float32)[::-1]
        noise = np.random.default_rng(0).normal(0, 2, data.shape)
        nib.Nifti1Image(np.maximum(data + noise, 0), image.affine).to_filename(path)
    return root


@pytest.fixture(scope="module")
def trained(cohort):
    out, work = cohort.parent / "bundles", cohort.parent / "work"
    flags = ("--name", "tiny", "--validation-label", "b", "--exclude-hyperintense")
    done = uadbids(
        "train", cohort, out, *flags, "--steps", 50, "--epoch-steps", 50, "-w", work, "--nprocs", 2
    )
    assert done.returncode == 0, done.stderr
    return out / "tiny", done


def test_bundle_says_what_it_was_trained_on(trained):
    folder, done = trained
    assert done.stdout.strip() == str(folder)
    card = json.loads((folder / "card.json").read_text())
    assert card["training"]["n_scans"] == 1
    assert card["training"]["n_held_out_subjects"] == 1
    assert card["training"]["brain_mask_methods"] == ["deepbet"]
    assert card["training"]["config"]["steps"] == 50
    assert card["calibration"]["n_voxels"] > 100_000


def test_bundle_runs(trained, cohort, tmp_path):
    folder, _ = trained
    flags = ("--participant-label", "a", "--model", folder, "-w", tmp_path / "work")
    done = uadbids(cohort, tmp_path / "out", "participant", *flags)
    assert done.returncode == 0, done.stderr
    told = tmp_path / "out/sub-a/anat/sub-a_space-orig_label-anomaly_mask.json"
    assert json.loads(told.read_text())["Model"] == "tiny"


def test_unknown_held_out_participant_is_refused(cohort, tmp_path):
    flags = ("--validation-label", "z", "-w", tmp_path / "work")
    done = uadbids("train", cohort, tmp_path / "out", *flags)
    assert done.returncode == 2
    assert "no FLAIR of z" in done.stderr
