"""The one reader of NIfTI files whose content is known to be sound: our own, and packaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes


class Volume(NamedTuple):
    """An array, and where it lies.

    Attributes
    ----------
    data : ndarray, shape (X, Y, Z)
        Voxels.
    affine : ndarray, shape (4, 4)
        From voxel to millimetres (RAS).
    """

    data: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm."""
        x, y, z = map(float, voxel_sizes(self.affine))
        return x, y, z


def read_volume(path: Path) -> Volume:
    """Read an image as it lies in its file."""
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj), np.asarray(image.affine))
