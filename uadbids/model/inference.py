"""Reconstruct a volume; choose the device."""

import numpy as np
import numpy.typing as npt
import torch

from uadbids.errors import DeviceError
from uadbids.model.vae import VAE, as_images

Floats = npt.NDArray[np.float32]

# Slices of a 2D model that are decoded together: bounds the memory, costs no time.
_SLICES_AT_ONCE = 32


def resolve_device(name: str) -> torch.device:
    """Device for 'auto' (a GPU if there is one), 'cpu', 'cuda' or 'cuda:N'.

    DeviceError if it is not there, or the name is none of these.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (":" in name and not number.isdecimal()):
        raise DeviceError(f"The device {name!r} is not known; give auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise DeviceError(
            f"The device {name!r} was asked for, but {count} CUDA devices can be used here; "
            "run with --device cpu, or check the driver, CUDA_VISIBLE_DEVICES and, in a "
            "container, that the GPU is passed in (--gpus all, --nv)."
        )
    return torch.device(name)


@torch.inference_mode()
def reconstruct(model: VAE, volume: npt.NDArray[np.floating], device: torch.device) -> Floats:
    """Healthy-looking version of a volume, from the mean of its code (docs/method.md, 6).

    Intensities, (X, Y, Z), are in [0, 1] before and after, 0 outside the brain before. The model is
    in evaluation mode, on the device; a 2D model sees every axial slice. The same input gives the
    same result.
    """
    x = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)).to(device)[None, None]
    images = as_images(model.config, x)
    parts = [model(part).reconstruction for part in torch.split(images, _SLICES_AT_ONCE)]
    output = torch.cat(parts).float().clamp(0.0, 1.0)[:, 0]
    # Slices came along the first axis; a 3D batch holds the one volume.
    folded = output[0] if model.config.dims == 3 else output.movedim(0, -1)
    return folded.contiguous().cpu().numpy()
