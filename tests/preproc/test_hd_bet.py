"""HD-BET's wrapper around the real nnU-Net predictor, with a small network of random weights.

The real weights cannot be shipped; what is tested is everything but them: the folder they lie in,
reading them as plain data, prediction in this process, and the grid of the mask.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from uadbids.errors import UsageError
from uadbids.preproc.hd_bet import CHECKPOINT, FILES, find_weights, run_hd_bet, weights_sha256

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 3,
        "features_per_stage": [4, 8, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "n_conv_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}


def resampling(name: str, *, segmentation: bool) -> dict[str, object]:
    how = {"is_seg": segmentation, "order": 1, "order_z": 0, "force_separate_z": None}
    return {f"resampling_fn_{name}": "resample_data_or_seg_to_shape", f"{name}_kwargs": how}


def write_weights(folder: Path) -> Path:
    """Write plans, labels and random weights as HD-BET lays them out."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [32, 32, 32],
        "median_image_size_in_voxels": [60, 60, 60],
        "spacing": [3.0, 3.0, 3.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": ARCHITECTURE,
        "batch_dice": False,
    }
    for name, segmentation in (("data", False), ("seg", True), ("probabilities", False)):
        made = resampling(name, segmentation=segmentation)
        configuration[f"resampling_fn_{name}"] = made[f"resampling_fn_{name}"]
        configuration[f"resampling_fn_{name}_kwargs"] = made[f"{name}_kwargs"]
    numbers = {"max": 1, "mean": 0, "median": 0, "min": 0, "std": 1}
    percentiles = {"percentile_00_5": 0, "percentile_99_5": 1}
    plans = {
        "dataset_name": "Dataset001_x",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3, 3, 3],
        "original_median_shape_after_transp": [60, 60, 60],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "x",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": numbers | percentiles},
        "configurations": {"3d_fullres": configuration},
    }
    labels = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "brain": 1},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    (folder / "fold_all").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(labels))
    torch.manual_seed(0)
    network = get_network_from_plans(
        ARCHITECTURE["network_class_name"],
        ARCHITECTURE["arch_kwargs"],
        ARCHITECTURE["_kw_requires_import"],
        1,
        2,
        deep_supervision=False,
    )
    torch.save(
        {
            "network_weights": network.state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": [0, 1, 2],
            # nnU-Net's training log holds numbers of NumPy.
            "logging": {"loss": [np.float32(1), np.float64(2), np.int64(3)]},
        },
        folder / CHECKPOINT,
    )
    return folder


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
        ("plans.json", ARCHITECTURE["network_class_name"], "os.system", "name os.system"),
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
