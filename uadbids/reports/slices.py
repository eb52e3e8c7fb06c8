"""NIfTI files to display planes: canonical loading, choice of slices, cutting."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from scipy import ndimage

from uadbids.errors import ScanError

SAGITTAL, CORONAL, AXIAL = 0, 1, 2
AXIS_NAMES = ("x", "y", "z")
# Letters at the left and right edge of a picture made by `cut`, per axis that is sliced away.
EDGE_LETTERS = (("A", "P"), ("R", "L"), ("R", "L"))

# What nibabel raises for files that are missing, cut short, damaged or of another kind.
READ_ERRORS = (OSError, EOFError, ValueError, zlib.error, ImageFileError)

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Volume:
    """A 3D image whose voxel axes run towards Right, Anterior and Superior.

    Attributes
    ----------
    data : ndarray, shape (X, Y, Z), float32
        Finite intensities (NaN and infinities are stored as 0).
    affine : ndarray, shape (4, 4)
        Voxel index to scanner coordinates in mm; may be oblique.
    name : str
        What errors call it.
    """

    data: FloatArray
    affine: NDArray[np.float64]
    name: str = ""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along each axis, in mm."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)


Image = Path | Volume
"""A NIfTI file, or what was read of one."""


def load_volume(path: Image) -> Volume:
    """Read a NIfTI image in the axis order closest to RAS; one that was read is taken as it is.

    No resampling: an oblique scan keeps its own planes, so that what is drawn is what was acquired.

    Raises
    ------
    ScanError
        If the file cannot be read or does not hold one 3D image.
    """
    if isinstance(path, Volume):
        return path
    try:
        image = nib.as_closest_canonical(nib.load(path))
        data = np.asanyarray(image.dataobj)
    except READ_ERRORS as error:
        raise ScanError(
            f"Cannot draw {path}: it is not a readable NIfTI image ({error})."
        ) from error
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise ScanError(f"Cannot draw {path}: expected one 3D image, found shape {data.shape}.")
    data = data.astype(np.float32)
    data[~np.isfinite(data)] = 0.0
    return Volume(data, np.asarray(image.affine, dtype=np.float64), str(path))


def load_like(path: Image, reference: Volume) -> Volume:
    """Read an image that must lie on the grid of `reference`.

    Raises
    ------
    ScanError
        If shape or affine differ (by more than 0.01 mm): a picture would then misplace findings.
    """
    volume = load_volume(path)
    same = volume.data.shape == reference.data.shape and np.allclose(
        volume.affine, reference.affine, atol=1e-2
    )
    if not same:
        raise ScanError(
            f"Cannot draw {volume.name}: its grid differs from that of the scan it belongs to."
        )
    return volume


def head_mask(volume: Volume) -> BoolArray:
    """Everything clearly brighter than the background, as a rough outline of the head."""
    low, high = np.percentile(volume.data[::2, ::2, ::2], (2, 98))
    return np.asarray(volume.data > low + 0.2 * (high - low))


def bounding_box(mask: BoolArray, spacing: Sequence[float], *, margin_mm: float) -> Box:
    """Smallest box around a mask, widened by a margin; the whole grid if the mask is empty.

    Planes in which less than 0.2 % of the voxels are set do not count: single noisy voxels would
    otherwise blow the box up to the full field of view. If no plane passes, every set voxel counts.
    """
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        filled = mask.mean(axis=others)
        hits = np.flatnonzero(filled > 0.002)
        hits = hits if hits.size else np.flatnonzero(filled)
        if not hits.size:
            return slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2])
        margin = round(margin_mm / spacing[axis])
        sides.append(
            slice(max(int(hits[0]) - margin, 0), min(int(hits[-1]) + margin + 1, mask.shape[axis]))
        )
    return sides[0], sides[1], sides[2]


def spread(extent: slice, count: int) -> list[int]:
    """Slice indices that cut an extent into `count` + 1 equal parts, ascending."""
    places = np.linspace(extent.start, extent.stop - 1, count + 2)[1:-1]
    return sorted({round(float(place)) for place in places})


def choose_slices(
    lesions: BoolArray, axis: int, extent: slice, count: int, *, gap: int = 1
) -> list[int]:
    """Pick the slices that show the findings best.

    First the fewest slices that show every finding well, by most new area; then slices at
    quantiles of their area; then slices spread evenly over the brain. The later ones keep apart
    from those already taken, since neighbours look the same.

    Parameters
    ----------
    lesions : ndarray of bool, shape (X, Y, Z)
        Mask of findings; may be empty.
    axis : int
        Axis to slice along.
    extent : slice
        Range of slices worth showing, used to fill up.
    count : int
        Number of slices wanted.
    gap : int
        Smallest distance of an added slice from the others, in slices.

    Returns
    -------
    list of int
        Ascending, without repeats; fewer than `count` only if the extent is too short.
    """
    chosen = _cover(lesions, axis, count)
    for index in _area_quantiles(lesions, axis, count) + spread(extent, count):
        if len(chosen) < count and all(abs(index - other) >= gap for other in chosen):
            chosen.append(index)
    middle = (extent.start + extent.stop - 1) / 2
    rest = (i for i in range(extent.start, extent.stop) if i not in chosen)
    chosen += sorted(rest, key=lambda i: abs(i - middle))[: count - len(chosen)]
    return sorted(chosen)


def _cover(lesions: BoolArray, axis: int, count: int) -> list[int]:
    """Greedy choice of slices until each component is cut at half its largest area or more."""
    labels, number = _label(lesions)
    where = np.nonzero(labels)
    length = lesions.shape[axis]
    # One entry per (component, slice) pair that occurs, with the component's area there.
    pairs, area = np.unique(
        labels[where].astype(np.int64) * length + where[axis], return_counts=True
    )
    component, index = pairs // length, pairs % length
    largest = np.zeros(number + 1, dtype=np.int64)
    np.maximum.at(largest, component, area)
    shown = np.zeros(number + 1, dtype=bool)
    chosen: list[int] = []
    while len(chosen) < count and not shown[component].all():
        new_area = np.bincount(index, weights=area * ~shown[component], minlength=length)
        best = int(np.argmax(new_area))
        chosen.append(best)
        shown[component[(index == best) & (2 * area >= largest[component])]] = True
    return chosen


def _label(mask: BoolArray) -> tuple[NDArray[np.int32], int]:
    """Give the 26-connected parts of a mask numbers; only the box that holds them is searched."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    box = ndimage.find_objects(mask.astype(np.uint8), max_label=1)[0]
    if box is None:
        return labels, 0
    return labels, ndimage.label(mask[box], structure=np.ones((3, 3, 3)), output=labels[box])


def _area_quantiles(lesions: BoolArray, axis: int, count: int) -> list[int]:
    """Slices at evenly spaced quantiles of their area, from the middle outwards."""
    areas = lesions.sum(axis=tuple(other for other in range(3) if other != axis))
    if not areas.any():
        return []
    share = np.cumsum(areas) / areas.sum()
    wanted = sorted((np.arange(count) + 0.5) / count, key=lambda quantile: abs(quantile - 0.5))
    return [int(index) for index in np.searchsorted(share, wanted)]


def largest_component(mask: BoolArray) -> BoolArray:
    """Keep the largest 26-connected part of a mask (nothing if the mask is empty)."""
    labels, count = _label(mask)
    if count == 0:
        return np.zeros(mask.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == np.argmax(sizes))


def cut(data: NDArray[np.generic], axis: int, index: int, box: Box) -> NDArray[np.generic]:
    """One slice as a picture: row 0 at the top, in radiological convention.

    The patient's right is on the left of axial and coronal pictures, anterior on the left of
    sagittal ones; anterior (axial) or superior (others) is up. With RAS axes all three planes need
    the same two flips.
    """
    where = tuple(index if a == axis else side for a, side in enumerate(box))
    return np.asarray(data[where][::-1, ::-1].T)


def picture_spacing(spacing: Sequence[float], axis: int) -> tuple[float, float]:
    """Size in mm of a picture element of `cut`: (across, down)."""
    across, down = (spacing[other] for other in range(3) if other != axis)
    return across, down


def position(volume: Volume, axis: int, index: int, box: Box) -> str:
    """Scanner coordinate of a slice's centre for its label, e.g. 'z 12 mm'.

    No side is read from the sign of x: the scanner's zero need not be the patient's midline.
    """
    centre = [(side.start + side.stop - 1) / 2 for side in box]
    centre[axis] = index
    millimetres = round(float(apply_affine(volume.affine, centre)[axis]))
    return f"{AXIS_NAMES[axis]} {millimetres} mm".replace("-", "\N{MINUS SIGN}")
