"""Bias-field correction that leaves lesions bright (Tustison et al. 2010).

With ANTs' usual four fitting levels the field follows a tumour and takes its contrast away.
Two things keep it stiff: two fitting levels, and no weight for the brightest part of the brain.
"""

from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline

from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.volume import Volume, read_volume

# What is finer than this is looked at in every second voxel, or less.
_FINE_MM = 0.8
# Voxels along an axis that the field is fitted to, where there are as many.
_FEWEST = 8


def correct_bias(
    in_file: Path, mask_file: Path, out_file: Path, config: PreprocConfig
) -> dict[str, Any]:
    """Divide a smooth field out of an image, estimated inside the brain.

    The field is fitted to voxels about ``config.n4_spacing_mm`` apart in each direction, so that
    neither a large matrix nor thick slices change what it rests on, and interpolated. The image is
    conformed, its values are at least 0, and the mask is on its grid. Facts: the smallest and
    largest factor that was divided out inside the brain.
    """
    image, brain = read_volume(in_file), read_volume(mask_file).data > 0
    field = np.exp(_log_field(image, brain, config))
    inside = field[brain]
    corrected = np.asfortranarray(image.data / field, dtype=np.float32)
    nib.Nifti1Image(corrected, image.affine).to_filename(out_file)
    return {"BiasFieldRange": [round(float(inside.min()), 4), round(float(inside.max()), 4)]}


def _log_field(
    image: Volume, brain: npt.NDArray[np.bool_], config: PreprocConfig
) -> npt.NDArray[np.float32]:
    """Return the logarithm of the field on the grid of the image."""
    sizes = np.array(image.spacing)
    fine = np.maximum(np.rint(_FINE_MM / sizes).astype(int), 1)
    coarse = np.rint(config.n4_spacing_mm / (fine * sizes)).astype(int)
    coarse = np.maximum(np.minimum(coarse, np.array(brain.shape) // (fine * _FEWEST)), 1)
    seen, mask = image.data[_every(fine)], brain[_every(fine)]
    weights = _weights(seen, mask, config)
    seen, mask, weights = (
        ants.from_numpy(
            np.ascontiguousarray(data[_every(coarse)], dtype=np.float32),
            spacing=list(map(float, sizes * fine * coarse)),
        )
        for data in (seen, mask, weights)
    )
    field = np.log(
        ants.n4_bias_field_correction(
            seen,
            mask=mask,
            weight_mask=weights,
            shrink_factor=1,
            convergence={"iters": list(config.n4_iterations), "tol": 1e-7},
            return_bias_field=True,
        ).numpy()
    )
    for axis, size in enumerate(brain.shape):
        places = np.arange(size)[_every(fine)[axis]][_every(coarse)[axis]]
        field = _between(field, axis, places, size)
    return field


def _every(steps: npt.NDArray[np.integer]) -> tuple[slice, ...]:
    return tuple(slice(step // 2, None, step) for step in steps)


def _between(
    field: npt.NDArray[np.float32], axis: int, places: npt.NDArray[np.integer], size: int
) -> npt.NDArray[np.float32]:
    """Interpolate along an axis, from voxels at `places` to all of them, by a cubic spline."""
    if len(places) == size:
        return field
    # Linear in the values: one matrix does it for all rows.
    matrix = CubicSpline(places, np.eye(len(places)))(np.arange(size)).astype(np.float32)
    return np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)


def _weights(
    image: np.ndarray, brain: npt.NDArray[np.bool_], config: PreprocConfig
) -> npt.NDArray[np.float32]:
    """Return 1 in ordinary brain, 0 around its brightest voxels and outside."""
    bright = brain & (image > np.quantile(image[brain], 1 - config.n4_spared_fraction))
    # Cortex is bright in thin sheets, lesions are bright in blobs: an opening keeps the blobs.
    blobs = ndimage.binary_opening(bright, iterations=1)
    return (brain & ~ndimage.binary_dilation(blobs, iterations=2)).astype(np.float32)
