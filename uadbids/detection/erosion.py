"""Which part of a brain is examined, and what lies near its surface (docs/method.md, 9)."""

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from uadbids.detection.postprocess import Bools, Spacing, bounding_box
from uadbids.model.grid import Crop
from uadbids.preproc.masks import ball


def erode(mask: Bools, mm: float, spacing: Spacing) -> Bools:
    """Voxels of a mask, (X, Y, Z), farther than ``mm`` from its outside (paper, section 3).

    The edge of the array counts as outside; 0 mm leaves the mask as it is.
    """
    if mm <= 0 or not mask.any():
        return mask.copy()
    # A voxel is deep if a ball around it holds nothing else.
    box = bounding_box(mask)
    eroded = np.zeros_like(mask)
    eroded[box] = ndimage.binary_erosion(mask[box], ball(mm, spacing))
    return eroded


def near_outside(mask: Bools, voxels: npt.NDArray[np.intp], mm: float) -> Bools:
    """Which voxels of a mask on a 1 mm grid `erode` would take away.

    Given as indices, (N, 3), they are looked at many times faster where they are few; the result
    has shape (N,).
    """
    reach = math.ceil(mm)
    padded = np.pad(mask, reach)
    near = np.zeros(len(voxels), dtype=bool)
    for offset in np.argwhere(ball(mm, (1.0, 1.0, 1.0))):
        near |= ~padded[tuple((voxels + offset).T)]
    return near


def examined_part(brain: Bools, erosion_mm: float, crop: Crop | None) -> Bools:
    """Part of a brain on a 1 mm grid, (X, Y, Z), where findings are looked for.

    It is eroded, and lies in what the model sees; all of the brain without a crop.
    """
    eroded = erode(brain, erosion_mm, (1.0, 1.0, 1.0))
    return eroded if crop is None else eroded & crop.mask(brain.shape)
