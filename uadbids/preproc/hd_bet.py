"""HD-BET (Isensee et al. 2019) in this process, from weights at a path of ours.

HD-BET itself looks for its weights under ``~``, downloads them, and starts worker
processes that need shared memory. Its network is one of nnU-Net's, whose predictor needs none of
that. nnU-Net would unpickle the checkpoint; here it is read as data.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from uadbids.errors import UsageError
from uadbids.preproc.conform import file_digest

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

BAKED = Path("/opt/uadbids/hd-bet")
"""Where a container image keeps HD-BET's weights."""
CHECKPOINT = "fold_all/checkpoint_final.pth"
FILES = ("plans.json", "dataset.json", CHECKPOINT)


def find_weights(given: Path | None) -> Path | None:
    """Return the folder with HD-BET's weights: the given one, the container's, or None.

    UsageError when a folder was given and files are missing in it.
    """
    for folder in (given, BAKED):
        if folder is None:
            continue
        missing = [name for name in FILES if not (folder / name).is_file()]
        if not missing:
            return folder.resolve()
        if folder is given:
            raise UsageError(
                f"{folder}: HD-BET's weights are not complete ({', '.join(missing)} missing); "
                "give the folder 'release_2.0.0' that HD-BET unpacks"
            )
    return None


def weights_sha256(weights: Path) -> str:
    """Return one hash of everything in HD-BET's folder that decides on its masks."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(file_digest(weights / name))
    return digest.hexdigest()


def run_hd_bet(in_file: Path, folder: Path, weights: Path, device: str) -> np.ndarray:
    """Segment the brain of a conformed scan; the mask has its shape.

    The folder is one of this step, the weights are those of `find_weights`. The device is ``cpu``
    or ``cuda[:N]``; test-time mirroring is used on a GPU only. UsageError when HD-BET is not
    installed, or its weights cannot be read.
    """
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        # Unset, nnU-Net prints three warnings about folders that only its training needs.
        os.environ.setdefault(name, str(folder))
    image = nib.load(in_file)
    # As nnU-Net's own readers have it: one channel, and the axes from the last to the first.
    data = image.get_fdata(dtype=np.float32).T[np.newaxis]
    spacing = [float(size) for size in image.header.get_zooms()[::-1]]
    # nnU-Net reports by print; progress is shown elsewhere.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            predictor = _predictor(weights, device)
        except ImportError as error:
            raise UsageError(
                "HD-BET is not installed; run: pip install 'uadbids[hd-bet]'"
            ) from error
        found = predictor.predict_single_npy_array(data, {"spacing": spacing})
    mask: np.ndarray = found.T > 0
    return mask


def _predictor(weights: Path, device: str) -> nnUNetPredictor:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    on_gpu = device != "cpu"
    predictor = nnUNetPredictor(
        use_mirroring=on_gpu,
        perform_everything_on_device=on_gpu,
        device=torch.device(device),
        allow_tqdm=False,
    )
    checkpoint = _read_checkpoint(weights / CHECKPOINT)
    try:
        dataset = json.loads((weights / "dataset.json").read_text())
        plans = PlansManager(json.loads((weights / "plans.json").read_text()))
        configuration = plans.get_configuration(checkpoint["init_args"]["configuration"])
        _check_names(configuration)
        network = nnUNetTrainer.build_network_architecture(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
            determine_num_input_channels(plans, configuration, dataset),
            plans.get_label_manager(dataset).num_segmentation_heads,
            enable_deep_supervision=False,
        )
        network.load_state_dict(checkpoint["network_weights"])
    except (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            f"{weights}: these files are no weights of HD-BET 2 ({type(error).__name__}: {error}); "
            "fetch them again, or use --skull-strip deepbet"
        ) from error
    predictor.manual_initialization(
        network,
        plans,
        configuration,
        [checkpoint["network_weights"]],
        dataset,
        checkpoint["trainer_name"],
        checkpoint.get("inference_allowed_mirroring_axes"),
    )
    return predictor


def _check_names(configuration: ConfigurationManager) -> None:
    """Let nnU-Net import and call networks and their layers only, whatever the plans name."""
    settings = configuration.network_arch_init_kwargs
    layers = [settings[key] for key in configuration.network_arch_init_kwargs_req_import]
    for name in (configuration.network_arch_class_name, *filter(None, layers)):
        if not name.startswith(("dynamic_network_architectures.", "torch.nn.")):
            raise ValueError(f"the plans name {name}")


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """Read tensors and plain values; of pickled objects only NumPy's numbers, which logs hold."""
    import torch

    harmless = [
        np._core.multiarray.scalar,  # type: ignore[attr-defined]
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")),
    ]
    try:
        with torch.serialization.safe_globals(harmless):
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise UsageError(
            f"{path}: HD-BET's checkpoint cannot be read as plain data; fetch it again, or use "
            "--skull-strip deepbet"
        ) from error
    return checkpoint
