"""Slices of a scan that are brighter or darker than their neighbours."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

# Of the median over a slice and two neighbours on either side; and voxels of brain that a slice
# must have for a median of its own.
_DIFFERENCE, _NEIGHBOURS, _LEAST = 0.1, 5, 500


def odd_slices(source: Path, brain: Path) -> np.ndarray:
    """Find slices whose brightness differs by more than 10 % from that of their neighbours.

    Slices are those across the longest edge of the voxels; isotropic scans have none. Scan and
    brain mask are on one grid; the result, of its shape, is True in such slices.
    """
    image = nib.load(source)
    inside = np.asarray(nib.load(brain).dataobj) > 0
    sizes = voxel_sizes(image.affine)
    axis = int(np.argmax(sizes))
    odd = np.zeros(inside.shape, dtype=bool)
    if sizes[axis] < 1.5 * np.sort(sizes)[1]:
        return odd
    values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32)).reshape(inside.shape)
    slices = np.moveaxis(values, axis, 0)
    masks = np.moveaxis(inside, axis, 0)
    numbers = np.flatnonzero(masks.sum(axis=(1, 2)) >= _LEAST)
    medians = np.array([np.median(slices[number][masks[number]]) for number in numbers])
    usual = ndimage.median_filter(medians, size=_NEIGHBOURS, mode="nearest")
    # Relative to the scan's level: some scans have a brain around 0.
    scale = np.abs(np.median(medians)) if numbers.size else 1.0
    np.moveaxis(odd, axis, 0)[numbers[np.abs(medians - usual) > _DIFFERENCE * scale]] = True
    return odd
