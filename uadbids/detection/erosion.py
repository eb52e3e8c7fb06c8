"""Which part of a brain is examined, and what lies near its surface (docs/method.md, 9)."""

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from uadbids.detection.postprocess import Bools, Spacing, bounding_box
from uadbids.model.grid import Crop


def erode(mask: Bools, mm: float, spacing: Spacing) -> Bools:
    """Voxels of a mask farther than ``mm`` from its outside (paper, section 3).

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)
        Brain. The edge of the array counts as outside.
    mm : float
        Depth of the erosion; 0 leaves the mask as it is.
    spacing : tuple of float
        Voxel sizes in mm.

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
        Part of the mask.
    """
    if mm <= 0 or not mask.any():
        return mask.copy()
    # A voxel is deep if a ball around it holds nothing else; for a few mm several times faster than
    # the distance of every voxel.
    box = bounding_box(mask)
    eroded = np.zeros_like(mask)
    eroded[box] = ndimage.binary_erosion(mask[box], _ball(mm, spacing))
    return eroded


def near_outside(mask: Bools, voxels: npt.NDArray[np.intp], mm: float) -> Bools:
    """Which voxels of a mask on a 1 mm grid are not farther than ``mm`` from its outside.

    Parameters
    ----------
    mask : ndarray of bool, shape (X, Y, Z)
        Brain. The edge of the array counts as outside.
    voxels : ndarray of int, shape (N, 3)
        Which voxels to look at; many times faster than `erode` where they are few.
    mm : float
        Distance.

    Returns
    -------
    ndarray of bool, shape (N,)
        What `erode` would take away.
    """
    reach = math.ceil(mm)
    padded = np.pad(mask, reach)
    near = np.zeros(len(voxels), dtype=bool)
    for offset in np.argwhere(_ball(mm, (1.0, 1.0, 1.0))):
        near |= ~padded[tuple((voxels + offset).T)]
    return near


def _ball(mm: float, spacing: Spacing) -> Bools:
    """Voxels not farther than ``mm`` from the one in the middle."""
    reaches = [math.ceil(mm / size) for size in spacing]
    offsets = np.meshgrid(*(np.arange(-n, n + 1) for n in reaches), indexing="ij")
    ball: Bools = np.linalg.norm(np.stack(offsets, axis=-1) * spacing, axis=-1) <= mm
    return ball


def examined_part(brain: Bools, erosion_mm: float, crop: Crop | None) -> Bools:
    """Part of a brain on a 1 mm grid, (X, Y, Z), where findings are looked for.

    It is eroded, and lies in what the model sees; all of the brain without a crop.
    """
    x, y, z = brain.shape
    eroded = erode(brain, erosion_mm, (1.0, 1.0, 1.0))
    return eroded if crop is None else eroded & crop.mask((x, y, z))
