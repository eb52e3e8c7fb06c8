"""Random weights, laid out as HD-BET's own, which cannot be shipped (see benchmarks/hd_bet.py)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

NETWORK = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
_IMPORTS = ["conv_op", "norm_op", "dropout_op", "nonlin"]


def write_weights(
    folder: Path,
    *,
    features: Sequence[int],
    convolutions: int,
    patch: int,
    spacing_mm: float,
    shape: Sequence[int],
) -> Path:
    """Write plans, labels and the weights of a U-Net; one stage for each number of features."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = _architecture(list(features), convolutions)
    numbers = {"max": 1, "mean": 0, "median": 0, "min": 0, "std": 1}
    percentiles = {"percentile_00_5": 0, "percentile_99_5": 1}
    plans = {
        "dataset_name": "Dataset001_x",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [spacing_mm] * 3,
        "original_median_shape_after_transp": list(shape),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "x",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": numbers | percentiles},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "x",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": [patch] * 3,
                "median_image_size_in_voxels": list(shape),
                "spacing": [spacing_mm] * 3,
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                "architecture": {
                    "network_class_name": NETWORK,
                    "arch_kwargs": architecture,
                    "_kw_requires_import": _IMPORTS,
                },
                "batch_dice": False,
                **_resampling("data", is_seg=False),
                **_resampling("seg", is_seg=True),
                **_resampling("probabilities", is_seg=False),
            }
        },
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
    network = get_network_from_plans(NETWORK, architecture, _IMPORTS, 1, 2, deep_supervision=False)
    torch.save(
        {
            "network_weights": network.state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": [0, 1, 2],
            # nnU-Net's training log holds numbers of NumPy.
            "logging": {"loss": [np.float32(1), np.float64(2), np.int64(3)]},
        },
        folder / "fold_all" / "checkpoint_final.pth",
    )
    return folder


def _architecture(features: list[int], convolutions: int) -> dict[str, Any]:
    stages = len(features)
    return {
        "n_stages": stages,
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (stages - 1)],
        "n_conv_per_stage": [convolutions] * stages,
        "n_conv_per_stage_decoder": [convolutions] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _resampling(name: str, *, is_seg: bool) -> dict[str, Any]:
    return {
        f"resampling_fn_{name}": "resample_data_or_seg_to_shape",
        f"resampling_fn_{name}_kwargs": {
            "is_seg": is_seg, "order": 1, "order_z": 0, "force_separate_z": None
        },
    }  # fmt: skip
