"""HD-BET's wrapper around the real nnU-Net predictor, with a small network of random weights.

The real weights cannot be shipped; what is tested is everything but them: the folder they lie in,
reading them as plain data, prediction in this process, and the grid of the mask.
"""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import random_hd_bet
import torch
from random_hd_bet import NETWORK

from uadbids.errors import UsageError
from uadbids.preproc.hd_bet import CHECKPOINT, FILES, find_weights, run_hd_bet, weights_sha256


def write_weights(folder: Path) -> Path:
    """Write a network that predicts within seconds."""
    return random_hd_bet.write_weights(
        folder, features=(4, 8, 8), convolutions=1, patch=32, spacing_mm=3, shape=(60, 60, 60)
    )


@pytest.fixture
def scan(tmp_path):
    affine = np.diag([3.0, 4.0, 5.0, 1.0])
    data = np.random.default_rng(0).random((40, 30, 24)).astype(np.float32)
    nib.Nifti1Image(data, affine).to_filename(tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def test_weights_that_are_not_complete_are_refused(tmp_path):
    (tmp_path / "plans.json").write_text("{}")
    with pytest.raises(UsageError, match=r"dataset\.json, fold_all/checkpoint_final\.pth missing"):
        find_weights(tmp_path)


def test_other_weights_have_another_hash(tmp_path):
    (tmp_path / "fold_all").mkdir()
    for name in FILES:
        (tmp_path / name).write_bytes(b"same")
    before = weights_sha256(tmp_path)
    assert weights_sha256(tmp_path) == before
    (tmp_path / CHECKPOINT).write_bytes(b"other")
    assert weights_sha256(tmp_path) != before


def test_no_weights_given_none_found():
    assert find_weights(None) is None


@pytest.mark.filterwarnings("ignore")
def test_mask_lies_on_the_grid_of_the_scan(tmp_path, scan):
    pytest.importorskip("nnunetv2")
    weights = find_weights(write_weights(tmp_path / "weights"))
    mask = run_hd_bet(scan, tmp_path, weights, "cpu")
    assert mask.shape == (40, 30, 24)
    assert 0 < mask.mean() < 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.nii.gz", "weights"]


@pytest.mark.filterwarnings("ignore")
def test_prediction_is_that_of_nnunet_itself(tmp_path, scan):
    pytest.importorskip("nnunetv2")
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    weights = write_weights(tmp_path / "weights")
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(weights), ("all",))
    data, properties = SimpleITKIO().read_images([str(scan)])
    theirs = predictor.predict_single_npy_array(data, properties)
    assert np.array_equal(run_hd_bet(scan, tmp_path, weights, "cpu"), theirs.transpose(2, 1, 0) > 0)


def test_what_the_images_leave_out_is_not_needed(tmp_path, scan):
    pytest.importorskip("nnunetv2")
    weights = write_weights(tmp_path / "weights")
    code = (
        "import sys, types\n"
        "sys.modules |= {'SimpleITK': types.ModuleType('SimpleITK')}\n"
        "sys.modules |= dict.fromkeys(['dicom2nifti', 'gdcm', 'imagecodecs', 'pydicom'])\n"
        "from pathlib import Path\n"
        "from uadbids.preproc.hd_bet import run_hd_bet\n"
        f"print(run_hd_bet(Path({str(scan)!r}), Path({str(tmp_path)!r}), Path({str(weights)!r}),"
        " 'cpu').sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 40 * 30 * 24


@pytest.mark.filterwarnings("ignore")
def test_checkpoint_that_runs_code_is_refused(tmp_path, scan):
    pytest.importorskip("nnunetv2")
    weights = write_weights(tmp_path / "weights")

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    torch.save({"network_weights": Trap()}, weights / CHECKPOINT)
    with pytest.raises(UsageError, match="cannot be read as plain data"):
        run_hd_bet(scan, tmp_path, weights, "cpu")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("plans.json", "{", "[", "JSONDecodeError"),
        ("plans.json", "3d_fullres", "2d", "2d|3d_fullres"),
        ("plans.json", "[4, 8, 8]", "[4, 8, 9]", "RuntimeError"),
        ("plans.json", NETWORK, "os.system", "name os.system"),
        ("plans.json", "torch.nn.LeakyReLU", "os.mkdir", "name os.mkdir"),
        ("dataset.json", '"labels"', '"other"', "KeyError"),
    ],
)
def test_files_that_are_no_weights_of_hd_bet_are_refused(tmp_path, scan, file, old, new, told):
    pytest.importorskip("nnunetv2")
    weights = write_weights(tmp_path / "weights")
    text = (weights / file).read_text()
    (weights / file).write_text(text.replace(old, new))
    assert (weights / file).read_text() != text
    with pytest.raises(UsageError, match=rf"{weights}: these files are no weights.*({told})"):
        run_hd_bet(scan, tmp_path, weights, "cpu")


def test_without_hd_bet_the_sentence_tells_how_to_install_it(tmp_path, scan):
    code = (
        "import sys; sys.modules['nnunetv2'] = None\n"
        "from pathlib import Path\n"
        "from uadbids.preproc.hd_bet import run_hd_bet\n"
        f"run_hd_bet(Path({str(scan)!r}), Path({str(tmp_path)!r}), Path('w'), 'cpu')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'uadbids[hd-bet]'" in done.stderr
