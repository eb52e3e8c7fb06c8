"""Where the header of an image says that it lies."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.spatialimages import HeaderDataError

from uadbids.errors import ScanError

# Two headers that place a voxel further apart than this do not describe one position.
GEOMETRY_TOLERANCE_MM = 0.1
# Tools round headers differently; half a millimetre at a corner is still the same voxel.
MASK_TOLERANCE_MM = 0.5
# ANTs refuses direction cosines that are not orthonormal; a shear this small is rounding.
SHEAR_TOLERANCE = 0.01
# Decimals (mm) that are kept of the edges of a voxel and of the origin. A corner moves by some
# hundredths of a millimetre; converters of one scan differ a thousand times less.
_EDGE_DECIMALS, _ORIGIN_DECIMALS = 4, 2
# No scanner reaches ten metres; beyond, a header's numbers are rubbish (or no numbers).
FARTHEST_MM = 1e4
# What units the header may name that are none of a head's.
_UNITS = {1: "metre", 3: "micron"}
# Voxels of a head in millimetres.
_PLAUSIBLE_MM = (0.1, 25.0)


def find_geometry(image: nib.Nifti1Image, in_file: Path) -> tuple[np.ndarray, str, list[str]]:
    """Choose the affine of an image: its sform, else its qform, else voxel sizes alone.

    Given are the affine, (4, 4) from voxels to mm (RAS), where it came from, and warnings of what
    had to be guessed. ScanError when it is no straight grid in millimetres within reach.
    """
    sform, sform_code = image.get_sform(coded=True)
    qform = _qform(image)
    warnings: list[str] = []
    if sform_code > 0:
        affine, source = sform, "sform"
        if (
            qform is not None
            and corner_distance(sform, qform, image.shape[:3]) > GEOMETRY_TOLERANCE_MM
        ):
            warnings.append("sform and qform place the image differently; the sform was used")
    elif qform is not None:
        affine, source = qform, "qform"
    else:
        affine, source = image.affine, "voxel sizes"
        warnings.append(
            "the header has neither sform nor qform: "
            "left and right, and the orientation, are guessed"
        )
    sizes = voxel_sizes(affine)
    if unit := _UNITS.get(int(image.header["xyzt_units"]) & 7):
        shown = " x ".join(f"{size:.3g}" for size in sizes)
        low, high = _PLAUSIBLE_MM
        if not ((low <= sizes) & (sizes <= high)).all():
            raise ScanError(
                f"{in_file}: the header gives voxels of {shown} {unit}; write {source} and voxel "
                "sizes in millimetres"
            )
        warnings.append(f"the header gives voxels of {shown} {unit}; they were taken as mm")
    if not (np.abs(affine) < FARTHEST_MM).all() or (sizes < 1e-3).any():
        raise ScanError(
            f"{in_file}: the {source} of the header is singular or out of reach; repair the header "
            "(for example copy the qform over the sform)"
        )
    cosines = affine[:3, :3] / sizes
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise ScanError(
            f"{in_file}: the {source} shears the image; resample it to a straight grid first"
        )
    return affine, source, warnings


def _qform(image: nib.Nifti1Image) -> np.ndarray | None:
    """Read the qform; one whose quaternion is no rotation counts as not there."""
    try:
        affine, _ = image.get_qform(coded=True)
    except (HeaderDataError, ValueError):
        return None
    return affine


def rounded(affine: np.ndarray) -> np.ndarray:
    """Leave out digits that depend on how a header was written, not on where the scan lies."""
    short = np.round(affine, _EDGE_DECIMALS)
    short[:3, 3] = np.round(affine[:3, 3], _ORIGIN_DECIMALS)
    return short


def straight(affine: np.ndarray) -> np.ndarray:
    """Take out the shear that `find_geometry` lets pass: ITK wants an orthonormal frame."""
    header = nib.Nifti1Header()
    header.set_qform(affine, code=1, strip_shears=True)
    return header.get_qform()


def corner_distance(
    first: np.ndarray,
    second: np.ndarray,
    shape: tuple[int, ...],
    second_shape: tuple[int, ...] | None = None,
) -> float:
    """Return the largest distance in mm between the corners that two affines give."""
    corners = np.array(np.meshgrid(*[(0, 1)] * 3)).reshape(3, -1).T
    here = apply_affine(first, corners * (np.array(shape) - 1))
    there = apply_affine(second, corners * (np.array(second_shape or shape) - 1))
    return float(np.linalg.norm(here - there, axis=1).max())
