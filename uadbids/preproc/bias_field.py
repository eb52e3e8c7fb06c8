"""Bias-field correction that leaves lesions bright (Tustison et al. 2010).

With ANTs' usual four fitting levels the field follows a tumour and takes its contrast away.
Two things keep it stiff: two fitting levels, and no weight for the brightest part of the brain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from scipy import ndimage

from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import disk_is_full


def correct_bias(
    in_file: Path, mask_file: Path, out_file: Path, config: PreprocConfig
) -> dict[str, Any]:
    """Divide a smooth field out of an image, estimated inside the brain.

    Parameters
    ----------
    in_file, mask_file, out_file : Path
        Conformed image (values at least 0), brain mask on the same grid, and result.
    config : PreprocConfig
        Shrink factor, iterations for each level, and the share of bright voxels to leave out.

    Returns
    -------
    dict
        Facts: the smallest and largest factor that was divided out inside the brain.
    """
    image = ants.image_read(str(in_file), pixeltype="float")
    mask = ants.image_read(str(mask_file), pixeltype="float")
    weight = mask.new_image_like(_weights(image.numpy(), mask.numpy() > 0, config))
    field = ants.n4_bias_field_correction(
        image,
        mask=mask,
        weight_mask=weight,
        shrink_factor=_shrink(image.shape, config.n4_shrink),
        convergence={"iters": list(config.n4_iterations), "tol": 1e-7},
        return_bias_field=True,
    )
    brain = field.numpy()[mask.numpy() > 0]
    _write(image / field, out_file)
    return {"BiasFieldRange": [round(float(brain.min()), 4), round(float(brain.max()), 4)]}


def _write(image: ants.ANTsImage, out_file: Path) -> None:
    """Write an image and look whether it is there: ITK says nothing of a disk that is full."""
    ants.image_write(image, str(out_file))
    try:
        whole = np.array_equal(nib.load(out_file).dataobj, image.numpy())
    except (ImageFileError, OSError, EOFError, ValueError):
        whole = False
    if not whole:
        raise disk_is_full(out_file)


def _weights(image: np.ndarray, brain: np.ndarray, config: PreprocConfig) -> np.ndarray:
    """Return 1 in ordinary brain, 0 around its brightest voxels and outside."""
    bright = brain & (image > np.quantile(image[brain], 1 - config.n4_spared_fraction))
    # Cortex is bright in thin sheets, lesions are bright in blobs: an opening keeps the blobs.
    blobs = ndimage.binary_opening(bright, iterations=1)
    return (brain & ~ndimage.binary_dilation(blobs, iterations=2)).astype(np.float32)


def _shrink(shape: tuple[int, ...], wanted: int) -> int:
    """Keep at least eight samples along the shortest axis of a thick-slice scan."""
    return max(1, min(wanted, min(shape) // 8))
