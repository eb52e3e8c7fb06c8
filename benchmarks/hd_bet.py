"""What HD-BET costs: its wrapper with random weights for a network of nnU-Net's usual size.

The real weights cannot be shipped, and masks of random ones mean nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from stages import Stages

from uadbids.errors import ScanError
from uadbids.preproc.brain import extract_brain

NUMBERS = ("max", "mean", "median", "min", "std", "percentile_00_5", "percentile_99_5")
STAGES, FEATURES, PATCH = 6, [32, 64, 128, 256, 320, 320], 128


def hd_bet(stages: Stages, weights: Path) -> None:
    """Look for a brain, which need not be found."""
    if not weights.exists():
        write_weights(weights)
    try:
        out = stages.folder / "hd_bet_mask.nii.gz"
        extract_brain(stages.files["conformed"], out, method="hd-bet", weights=weights)
    except ScanError:
        pass


def write_weights(folder: Path) -> None:
    """Write random weights for a network of the size of nnU-Net's, as HD-BET lays them out."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = {
        "n_stages": STAGES,
        "features_per_stage": FEATURES,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * STAGES,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (STAGES - 1),
        "n_conv_per_stage": [2] * STAGES,
        "n_conv_per_stage_decoder": [2] * (STAGES - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    name = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    imports = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    resample = {
        f"resampling_fn_{what}{end}": value
        for what, is_seg in (("data", False), ("seg", True), ("probabilities", False))
        for end, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": is_seg, "order": 1, "order_z": 0, "force_separate_z": None}),
        )
    }
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [PATCH] * 3,
        "median_image_size_in_voxels": [160, 190, 160],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **resample,
        "architecture": {
            "network_class_name": name, "arch_kwargs": architecture, "_kw_requires_import": imports
        },
        "batch_dice": False,
    }  # fmt: skip
    torch.manual_seed(1)
    network = get_network_from_plans(name, architecture, imports, 1, 2, deep_supervision=False)
    _write_plans(folder, configuration)
    checkpoint = {
        "init_args": {"configuration": "3d_fullres"},
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    (folder / "fold_all").mkdir(exist_ok=True)
    torch.save(checkpoint, folder / "fold_all" / "checkpoint_final.pth")


def _write_plans(folder: Path, configuration: dict[str, Any]) -> None:
    plans = {
        "dataset_name": "x",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [160, 190, 160],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "x",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": dict.fromkeys(NUMBERS, 0.0)},
    }
    dataset = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "brain": 1},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
