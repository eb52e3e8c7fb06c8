"""NIfTI files to display planes: canonical loading, choice of slices, cutting."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from uadbids.detection.postprocess import label_components
from uadbids.errors import ScanError
from uadbids.preproc.volume import Volume, read_canonical

SAGITTAL, CORONAL, AXIAL = 0, 1, 2
# Letters at the left and right edge of a picture made by `cut`, per axis that is sliced away.
EDGE_LETTERS = (("A", "P"), ("R", "L"), ("R", "L"))

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Image = Path | Volume
"""A NIfTI file, or what was read of one."""


def load_volume(path: Image) -> Volume:
    """Read a NIfTI image as float32, axes closest to RAS; one that was read is taken as it is.

    No resampling: an oblique scan keeps its own planes, so that what is drawn is what was acquired.
    What is not finite becomes 0. ScanError if the file does not hold one 3D image.
    """
    if isinstance(path, Volume):
        return path
    found = read_canonical(path)
    data = found.data.astype(np.float32)
    data[~np.isfinite(data)] = 0.0
    return Volume(data, found.affine)


def load_like(path: Image, reference: Volume) -> Volume:
    """Read an image that must lie on the grid of `reference`.

    ScanError if shape or affine differ (by more than 0.01 mm): a picture would then misplace
    findings.
    """
    volume = load_volume(path)
    same = volume.data.shape == reference.data.shape and np.allclose(
        volume.affine, reference.affine, atol=1e-2
    )
    if not same:
        raise ScanError(
            f"Cannot draw {path if isinstance(path, Path) else 'an image'}: its grid differs from "
            "that of the scan it belongs to."
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
    for axis, length in enumerate(mask.shape):
        filled = mask.mean(axis=tuple(other for other in range(3) if other != axis))
        hits = np.flatnonzero(filled > 0.002)
        hits = hits if hits.size else np.flatnonzero(filled)
        low, high = (int(hits[0]), int(hits[-1]) + 1) if hits.size else (0, length)
        margin = round(margin_mm / spacing[axis])
        sides.append(slice(max(low - margin, 0), min(high + margin, length)))
    return sides[0], sides[1], sides[2]


def spread(extent: slice, count: int) -> list[int]:
    """Slice indices that cut an extent into `count` + 1 equal parts, ascending."""
    places = np.linspace(extent.start, extent.stop - 1, count + 2)[1:-1]
    return sorted({round(float(place)) for place in places})


def choose_slices(
    labels: NDArray[np.generic], axis: int, extent: slice, count: int, *, gap: int = 1
) -> list[int]:
    """Pick the slices along an axis that show the findings best, ascending.

    First the fewest slices that show every finding well, by most new area; then slices at
    quantiles of their area; then slices spread evenly over `extent`, those worth showing. All keep
    apart by `gap` slices, since neighbours look the same: fewer than `count` in a short extent.
    `labels` are numbers of findings or a mask of bool, maybe empty; `axis` is sliced away.
    """
    numbers = label_components(labels) if labels.dtype == bool else labels.astype(np.int32)
    areas = (numbers > 0).sum(axis=tuple(other for other in range(3) if other != axis))
    chosen = _cover(numbers, axis, count, gap)
    middle = (extent.start + extent.stop - 1) / 2
    rest = sorted(range(extent.start, extent.stop), key=lambda index: abs(index - middle))
    for index in _area_quantiles(areas, count) + spread(extent, count) + rest:
        if len(chosen) < count and all(abs(index - other) >= gap for other in chosen):
            chosen.append(index)
    return sorted(chosen)


def _cover(labels: NDArray[np.int32], axis: int, count: int, gap: int) -> list[int]:
    """Greedy choice of slices until each component is cut at half its largest area or more."""
    where = np.nonzero(labels)
    length = labels.shape[axis]
    # One entry per (component, slice) pair that occurs, with the component's area there.
    pairs, area = np.unique(
        labels[where].astype(np.int64) * length + where[axis], return_counts=True
    )
    component, index = pairs // length, pairs % length
    size = int(component.max(initial=0)) + 1
    largest, shown = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool)
    np.maximum.at(largest, component, area)
    chosen: list[int] = []
    free = np.ones(length, dtype=bool)
    while len(chosen) < count:
        new_area = free * np.bincount(index, weights=area * ~shown[component], minlength=length)
        if not new_area.any():
            break
        best = int(np.argmax(new_area))
        chosen.append(best)
        free[max(best - gap + 1, 0) : best + gap] = False
        shown[component[(index == best) & (2 * area >= largest[component])]] = True
    return chosen


def _area_quantiles(areas: NDArray[np.integer], count: int) -> list[int]:
    """Slices at evenly spaced quantiles of their area, from the middle outwards."""
    if not areas.any():
        return []
    share = np.cumsum(areas) / areas.sum()
    wanted = sorted((np.arange(count) + 0.5) / count, key=lambda quantile: abs(quantile - 0.5))
    return [int(index) for index in np.searchsorted(share, wanted)]


def planes_through(mask: BoolArray) -> list[tuple[int, int]]:
    """Where a mask, which is not empty, has its largest area: (axis, index) for each axis."""
    places = np.nonzero(mask)
    return [(axis, int(np.argmax(np.bincount(places[axis])))) for axis in range(3)]


def cut(data: NDArray[np.generic], axis: int, index: int, box: Box) -> NDArray[np.generic]:
    """One slice as a picture: row 0 at the top, in radiological convention.

    The patient's right is on the left of axial and coronal pictures, anterior on the left of
    sagittal ones; anterior (axial) or superior (others) is up. With RAS axes all three planes need
    the same two flips.
    """
    where = tuple(index if a == axis else side for a, side in enumerate(box))
    return np.asarray(data[where][::-1, ::-1].T)


def position(volume: Volume, axis: int, index: int) -> str:
    """Scanner coordinate of a slice's centre for its label, e.g. 'z 12 mm'.

    No side is read from the sign of x: the scanner's zero need not be the patient's midline.
    """
    centre = [(n - 1) / 2 for n in volume.data.shape]
    centre[axis] = index
    millimetres = round(float(apply_affine(volume.affine, centre)[axis]))
    return f"{'xyz'[axis]} {millimetres} mm".replace("-", "\N{MINUS SIGN}")
