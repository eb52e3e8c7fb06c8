"""The readers of NIfTI files: of our own and packaged ones, and of those that may be anybody's."""

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from uadbids.errors import ScanError

READ_ERRORS = (
    OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError,
)  # fmt: skip
"""What nibabel raises for files that are missing, cut short, damaged or of another kind."""


class Volume(NamedTuple):
    """An array, and where it lies."""

    data: npt.NDArray[Any]  # (X, Y, Z)
    affine: npt.NDArray[np.float64]  # (4, 4), from voxel to millimetres (RAS)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm."""
        x, y, z = map(float, voxel_sizes(self.affine))
        return x, y, z


def read_volume(path: Path) -> Volume:
    """Read an image as it lies in its file."""
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj), np.asarray(image.affine))


def read_canonical(source: Path | nib.Nifti1Image) -> Volume:
    """Read one 3D image that may be anybody's, its axes turned to RAS; nothing is interpolated.

    ScanError if the file is missing, damaged or not one volume.
    """
    try:
        image = nib.load(source) if isinstance(source, Path) else source
        image = nib.as_closest_canonical(nib.squeeze_image(image))
        data = np.asarray(image.dataobj)
    except FileNotFoundError as error:
        raise ScanError(f"{source}: the file is not there") from error
    except READ_ERRORS as error:
        raise ScanError(f"{source}: this is no readable NIfTI image ({error})") from error
    if data.ndim != 3:
        raise ScanError(f"{source}: one 3D volume is needed, this has {data.ndim} dimensions")
    return Volume(data, np.asarray(image.affine, dtype=float))
