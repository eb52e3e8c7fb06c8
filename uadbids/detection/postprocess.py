"""From an anomaly map to findings: threshold, median, components (docs/method.md, 9)."""

import math
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import regionprops_table

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

# A tumour has a texture of its own, and no border at half its height.
SMALL_ML = 25.0
"""Largest volume of a small finding."""
# The brightest voxels of a finding may be noise.
_TOP = 0.9
_PROPERTIES = ("label", "area", "intensity_max", "intensity_mean", "centroid")


@dataclass(frozen=True)
class Boundary:
    """Where findings end."""

    # Part of its height (the 90th percentile of its voxels) at which a finding under 25 mL ends,
    # from 0 to 1; 0 for the threshold alone.
    part: float = 0.0
    fills: bool = False  # whether dark cores of findings of 25 mL and more belong to them


AT_THRESHOLD = Boundary()
"""As in the paper."""
HALF_MAXIMUM = Boundary(part=0.5)
"""Small findings end at half of their height (docs/method.md, 15)."""


@dataclass(frozen=True)
class Component:
    """One connected finding."""

    index: int  # label in the label image, from 1 for the largest
    volume_mm3: float
    score_max: float  # of the score map over its voxels
    score_mean: float
    centroid_ijk: tuple[float, float, float]  # centre of gravity in voxel coordinates


def segment(
    anomaly_map: npt.NDArray[np.floating],
    mask: Bools,
    *,
    threshold: float,
    min_volume_mm3: float,
    spacing: Spacing,
    boundary: Boundary = AT_THRESHOLD,
) -> npt.NDArray[np.uint8]:
    """Mask of the findings: threshold in the mask, 3x3x3 binary median, no small components.

    The paper (section 3) thresholds, multiplies by a slightly eroded brain mask, then removes
    regions under 10 voxels with "a median filter"; both readings of that are applied, in this
    order, so that voxels outside the eroded mask have no vote in the median.

    With a part in ``boundary``, findings under 25 mL are then cut once more, each at that part of
    its own height: what a scanner blurs is seen beyond its border, the farther the brighter it is,
    and ends at its half maximum.

    Voxels of the map, (X, Y, Z), above the threshold are candidates; the mask, of its shape, says
    where to look, and is the eroded brain. 26-connected components with less than `min_volume_mm3`
    are dropped; voxel sizes are in mm. The result is 0 or 1, of the same shape.
    """
    candidates = (anomaly_map > threshold) & mask
    lesions = np.zeros(mask.shape, dtype=np.uint8)
    if not candidates.any():
        return lesions
    box = bounding_box(candidates, margin=1)
    inside, values, above = mask[box], anomaly_map[box], candidates[box]
    # The tolerance keeps 10 voxels of 1.0000001 mm3 from becoming 9.999 mm3.
    min_voxels = math.ceil(min_volume_mm3 / math.prod(spacing) - 1e-4)
    lesions[box] = keep_large(_binary_median(above) & inside, min_voxels)
    if boundary.part > 0:
        above &= ~_below_boundary(lesions[box], values, boundary.part, math.prod(spacing))
        lesions[box] = keep_large(_binary_median(above) & inside, min_voxels)
    if boundary.fills:
        lesions[box] |= _cores(lesions[box], math.prod(spacing)) & inside
    return lesions


def label_components(lesions: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Label the 26-connected components of what is not 0, from 1 for the largest."""
    found, count = cc3d.connected_components(
        np.ascontiguousarray(lesions != 0), connectivity=26, return_N=True
    )
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    order = 1 + np.argsort(-sizes[1:], kind="stable")
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[order] = np.arange(1, count + 1)
    labels: npt.NDArray[np.int32] = rank[found]
    return labels


def describe_components(
    labels: npt.NDArray[np.integer],
    score_map: npt.NDArray[np.floating],
    spacing: Spacing,
) -> list[Component]:
    """Measure each component of a label image (X, Y, Z), in the order of their indices.

    Some indices may be missing, such as those of components that fell between the voxels of a
    coarser grid. The score map, of the same shape, is summarised; voxel sizes are in mm.
    """
    table = regionprops_table(labels, score_map, properties=_PROPERTIES)
    return [
        Component(int(index), size * math.prod(spacing), float(top), float(mean),
                  (float(i), float(j), float(k)))
        for index, size, top, mean, i, j, k in zip(*table.values(), strict=True)
    ]  # fmt: skip


def keep_large(mask: Bools, min_voxels: int) -> Bools:
    """Mask without its 26-connected components of fewer than ``min_voxels`` voxels."""
    kept: Bools = cc3d.dust(np.ascontiguousarray(mask), threshold=min_voxels, connectivity=26)
    return kept


def bounding_box(mask: Bools, margin: int = 0) -> Box:
    """Smallest box around a mask with at least one voxel, widened within the array."""
    slices = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        first, last = int(hits[0]), int(hits[-1])
        slices.append(slice(max(first - margin, 0), min(last + 1 + margin, mask.shape[axis])))
    return slices[0], slices[1], slices[2]


def _binary_median(mask: Bools) -> Bools:
    """Median over 3x3x3 voxels, zeros beyond the edge: a majority vote, counted separably."""
    votes = mask.astype(np.uint8)
    for axis in range(3):
        votes = ndimage.correlate1d(votes, np.ones(3), axis=axis, mode="constant")
    majority: Bools = votes >= 14
    return majority


def _below_boundary(
    lesions: npt.NDArray[np.integer],
    values: npt.NDArray[np.floating],
    part: float,
    voxel_mm3: float,
) -> Bools:
    """Voxels of small components that are below a part of their height."""
    labels = label_components(lesions)
    low = np.zeros(labels.shape, dtype=bool)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == number
        if inside.sum() * voxel_mm3 / 1000 >= SMALL_ML:
            continue
        height = np.quantile(values[box][inside], _TOP)
        low[box] |= inside & (values[box] <= part * height)
    return low


def _cores(findings: npt.NDArray[np.integer], voxel_mm3: float) -> Bools:
    """Holes of large findings, closed by 2 voxels, in 3D and in each axial slice."""
    large = keep_large(findings > 0, math.ceil(1000 * SMALL_ML / voxel_mm3))
    cores = np.zeros_like(large)
    if large.any():
        cores = ndimage.binary_fill_holes(ndimage.binary_closing(large, iterations=2))
        for z in range(large.shape[2]):
            cores[..., z] |= ndimage.binary_fill_holes(large[..., z])
    return cores
