"""What the reader sees, and what it says of a whole brain."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uadbids.detection.hyperintensity import tissue_level
from uadbids.detection.postprocess import bounding_box
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

LOWEST, HIGHEST = -8.0, 12.0
"""Robust z that inputs are cut at; outside the brain is the lowest."""
_UNIT = 4.0
# Room around the brain for the convolutions.
_MARGIN = 4


class ReaderScan(NamedTuple):
    """A scan on the template grid as the reader takes it; arrays of shape (X, Y, Z).

    Attributes
    ----------
    volume, reconstruction : ndarray of float32
        Intensities in [0, 1]; the reconstruction is 0 outside the crop.
    brain : ndarray of bool
        Brain mask.
    crop : Crop
        What is reconstructed.
    normal : ndarray of float32
        Robust z of normal grey matter at its place (`Template.normal_brightness`).
    """

    volume: Floats
    reconstruction: Floats
    brain: Bools
    crop: Crop
    normal: Floats


def reader_inputs(scan: ReaderScan) -> Tensor:
    """Inputs of the reader, (4, X, Y, Z): z, residual in z, what is reconstructed, what is normal.

    Returns
    -------
    Tensor of float32, shape (4, X, Y, Z)
        All in units of 4 robust z but the third, which is 0 or 1.
    """
    median, spread = tissue_level(scan.volume, scan.brain)
    spread = spread or 1.0
    z = np.clip((scan.volume - median) / spread, LOWEST, HIGHEST)
    seen = scan.crop.mask(_shape(scan.brain)) & scan.brain
    residual = np.clip((scan.volume - scan.reconstruction) / spread, LOWEST, HIGHEST)
    parts = (
        np.where(scan.brain, z, LOWEST) / _UNIT,
        np.where(seen, residual, 0.0) / _UNIT,
        seen,
        scan.normal / _UNIT,
    )
    return torch.from_numpy(np.stack([part.astype(np.float32) for part in parts]))


@torch.inference_mode()
def lesion_probability(reader: Reader, scan: ReaderScan, device: torch.device) -> Floats:
    """Probability of lesion in each voxel of the brain.

    Parameters
    ----------
    reader : Reader
        In evaluation mode, on ``device``.
    scan : ReaderScan
        On a 1 mm grid.
    device : torch.device
        Where to compute.

    Returns
    -------
    ndarray of float32, shape (X, Y, Z)
        In [0, 1]; 0 outside the brain; the same for the same input.
    """
    probability = np.zeros(scan.brain.shape, dtype=np.float32)
    if not scan.brain.any():
        return probability
    factor = 2 ** (len(reader.config.widths) - 1)
    box = bounding_box(scan.brain, margin=_MARGIN)
    inputs = reader_inputs(scan)[(slice(None), *box)]
    # Beyond the box lies what is outside the brain, whatever is normal there.
    sizes = inputs.shape[1:]
    padded = torch.zeros(4, *(-(-n // factor) * factor for n in sizes))
    padded[0] = LOWEST / _UNIT
    padded[:, : sizes[0], : sizes[1], : sizes[2]] = inputs
    batch = padded[None].to(device, memory_format=torch.channels_last_3d)
    found = torch.sigmoid(reader(batch).float())[0].cpu().numpy()
    probability[box] = found[: sizes[0], : sizes[1], : sizes[2]] * scan.brain[box]
    return probability


def _shape(brain: Bools) -> tuple[int, int, int]:
    x, y, z = brain.shape
    return x, y, z
