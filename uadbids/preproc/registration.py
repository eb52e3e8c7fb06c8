"""Rigid alignment with the template."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from uadbids.errors import ScanError
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.mutual_information import MutualInformation
from uadbids.preproc.search import Target, coarser, pyramid, search_affine, search_rigid, target
from uadbids.preproc.similarity import SHIFT_MM, Neighbours, look_around
from uadbids.preproc.template import Template
from uadbids.preproc.transform import write_transform
from uadbids.preproc.volume import Volume, read_volume

POINT_STEP = 997
"""Every how many voxels of the template's brain the rigid fit looks."""
# Ratio of a brain's brightest voxel to the 99.9th percentile; 1.1 to 2.2 in 9 scans.
_SPIKE = 3.0
# Below this `similarity.Neighbours.gain` a pose is looked at again.
DOUBTFUL_GAIN = 1.2
# How far around the template's brain the first search looks: a brain's outline counts.
_AROUND_MM = 12.0
# A search at 3 mm gains nothing from smaller voxels than half of that.
_FINEST = 0.5


class _Fixed(NamedTuple):
    """The template on the grid of the search."""

    t1w: Volume
    brain: np.ndarray
    levels: list[Target]
    inside: Target
    points: np.ndarray


class _Moving(NamedTuple):
    """A brain, and levels of it for the search."""

    image: Volume
    mask: np.ndarray
    levels: list[Volume]


def register(
    in_file: Path,
    mask_file: Path,
    out_xfm: Path,
    out_affine: Path,
    template: Template,
    config: PreprocConfig,
) -> dict[str, Any]:
    """Estimate the rigid transform from a scan to the template, brain to brain.

    Mutual information (Mattes) finds an affine transform, and the rigid transform nearest to it
    over the template's brain is kept (least squares, Kabsch 1976). A rigid search of its own has
    a flat optimum where brain and template differ in size. Where that pose is doubtful, see
    `_search_again`.

    The scan is bias-corrected, its brain mask on the same grid. Written are the transform, which
    maps points of the template to the scan, and the affine one that it comes from, by which places
    get their names, in ITK's text format. Facts: Dice overlap of the moved brain mask with the
    template's, and angle. ScanError when the brain mask is empty.
    """
    fixed = _fixed(template, config.registration_spacing_mm)
    moving = _moving(read_volume(in_file), read_volume(mask_file), config.registration_spacing_mm)
    centre = fixed.points.mean(axis=0)
    middle = apply_affine(moving.image.affine, ndimage.center_of_mass(moving.mask))
    start = np.column_stack([np.eye(3), middle - centre])
    affine = search_affine(fixed.levels, moving.levels, start, centre)
    if not np.linalg.det(affine[:, :3]) > 0:
        # It has folded what is no single head; that the brain fits badly is then measured and said.
        affine = start
    rigid = _nearest_rigid(affine, fixed.points)
    other = _search_again(rigid, moving, fixed)
    if other is not None:
        # The affine one has gone wrong, too.
        rigid = affine = other
    for pose, path in ((rigid, out_xfm), (affine, out_affine)):
        write_transform(np.vstack([pose, (0, 0, 0, 1)]), path)
    _, brain = _moved(rigid, moving, fixed)
    return {
        "RegistrationOverlap": round(_dice(brain, fixed.brain), 3),
        "RegistrationAngleDegrees": round(
            float(np.degrees(Rotation.from_matrix(rigid[:, :3]).magnitude())), 2
        ),
    }


@cache
def _fixed(template: Template, spacing_mm: float) -> _Fixed:
    """Bring the template to the grid of the search; not to be changed."""
    t1w, brain = read_volume(template.t1w), read_volume(template.brain_mask)
    points = apply_affine(brain.affine, np.argwhere(brain.data > 0)[::POINT_STEP])
    levels, targets, masks = pyramid(t1w, spacing_mm), [], []
    for level in levels:
        size = level.spacing[0]
        brain = coarser(brain, size, 0)
        masks.append(brain.data > 0)
        near = ndimage.binary_dilation(masks[-1], iterations=max(1, round(_AROUND_MM / size)))
        targets.append(target(level, near))
    coarse = coarser(t1w, spacing_mm, 0)
    return _Fixed(coarse, masks[0], targets, target(levels[0], masks[0]), points)


def _moving(image: Volume, mask: Volume, spacing_mm: float) -> _Moving:
    """Cut the brain out, and leave voxels out that are small beside the spacing."""
    inside = mask.data > 0
    values = image.data[inside]
    if not values.size:
        raise ScanError("the brain mask is empty")
    top = float(np.percentile(values, 99.9))
    # Mutual information divides the range of values into few bins.
    top = top if values.max() > _SPIKE * top else float(values.max())
    brain = Volume(np.where(inside, np.minimum(image.data, top), 0), image.affine)
    fine = _FINEST * spacing_mm
    # Averaged before voxels are left out.
    sigma = fine / 2 if min(image.spacing) < fine / 2 else 0.0
    brain, shape = coarser(brain, fine, sigma), coarser(mask, fine, sigma)
    return _Moving(brain, shape.data >= 0.5, pyramid(brain, spacing_mm))


def _search_again(rigid: np.ndarray, moving: _Moving, fixed: _Fixed) -> np.ndarray | None:
    """Search again, inside both brains alone, where the pose is hardly better than those beside it.

    The outline of a brain that is cut off, or has lost its lower part, can mislead the first
    search by a centimetre. The search starts at the best of the poses, and looks at the finest
    level alone; its result is given if the images say more of each other in it, and it lies no
    further from where it started than those poses lie apart.
    """
    first = _look(rigid, moving, fixed)
    if first.gain >= DOUBTFUL_GAIN:
        return None
    start = rigid.copy()
    if first.gain < 1:
        # The scan lies where the shifted template did.
        start[:, 3] += start[:, :3] @ np.array(first.shift_mm)
    finest = moving.levels[0]
    inside = coarser(Volume(moving.mask, moving.image.affine), max(fixed.t1w.spacing), 0)
    metric = MutualInformation(*fixed.inside, finest, mask=inside.data > 0)
    points = fixed.points
    other = search_rigid(metric, start, points.mean(axis=0))
    change = other - start
    gone = np.linalg.norm(points @ change[:, :3].T + change[:, 3], axis=1).mean()
    is_better = gone <= SHIFT_MM and _look(other, moving, fixed).here > first.here
    return other if is_better else None


def _look(pose: np.ndarray, moving: _Moving, fixed: _Fixed) -> Neighbours:
    volume, mask = _moved(pose, moving, fixed)
    return look_around(
        volume, mask, fixed.t1w.data, fixed.brain, spacing_mm=float(fixed.t1w.spacing[0])
    )


def _moved(pose: np.ndarray, moving: _Moving, fixed: _Fixed) -> tuple[np.ndarray, np.ndarray]:
    """Resample a brain and its mask to the grid of the search."""
    to_voxels = np.linalg.inv(moving.image.affine) @ np.vstack([pose, (0, 0, 0, 1)])
    to_voxels = to_voxels @ fixed.t1w.affine
    volume, mask = (
        ndimage.affine_transform(
            data, to_voxels[:3, :3], to_voxels[:3, 3], output_shape=fixed.brain.shape, order=1
        )
        for data in (moving.image.data, moving.mask.astype(np.float32))
    )
    return volume, mask >= 0.5


def _nearest_rigid(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the rigid pose (3, 4) that moves the points (N, 3) most like an affine one does."""
    moved = points @ affine[:, :3].T + affine[:, 3]
    centre, moved_centre = points.mean(axis=0), moved.mean(axis=0)
    rotation = Rotation.align_vectors(moved - moved_centre, points - centre)[0].as_matrix()
    return np.column_stack([rotation, moved_centre - rotation @ centre])


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))
