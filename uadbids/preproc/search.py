"""The pose in which two images say most of each other, from coarse to fine."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from uadbids.preproc.mutual_information import Floats, MutualInformation
from uadbids.preproc.volume import Volume

Pose = Callable[[Floats], Floats]

# Size of the voxels and smoothing before they are left out, in units of the finest spacing; each
# level is made from the one before it.
_LEVELS = ((1, 0.5), (2, 1.2), (2, 1.5))
# A step of 1 of a turn or a stretch moves the surface of a brain by about 1 mm.
_RADIUS_MM = 70.0
_DIFFERENCE = 1e-3
_UNTIL = {"maxiter": 200, "maxcor": 12, "ftol": 1e-9, "gtol": 1e-8}


class Target(NamedTuple):
    """Points of the fixed image on one level: millimetres (N, 3), and grey values (N,)."""

    points: Floats
    values: Floats


def pyramid(image: Volume, spacing_mm: float) -> list[Volume]:
    """Smooth an image and leave voxels out, level by level; the finest comes first."""
    levels = []
    for size, smoothing in _LEVELS:
        image = coarser(image, size * spacing_mm, smoothing * spacing_mm)
        levels.append(image)
    return levels


def coarser(image: Volume, spacing_mm: float, sigma_mm: float) -> Volume:
    """Smooth an image and keep voxels at most `spacing_mm` apart, in the middle of what goes."""
    sizes = np.array(image.spacing)
    data = np.asarray(image.data, dtype=np.float32)
    if sigma_mm:
        data = ndimage.gaussian_filter(data, sigma_mm / sizes)
    # A size that a header has rounded up is no reason to keep more.
    steps = np.maximum((spacing_mm / sizes + 1e-3).astype(int), 1)
    first = (steps - 1) // 2
    affine = image.affine @ np.diag([*steps, 1.0])
    affine[:3, 3] = apply_affine(image.affine, first)
    kept = tuple(slice(start, None, step) for start, step in zip(first, steps, strict=True))
    return Volume(data[kept], affine)


def target(image: Volume, where: npt.NDArray[np.bool_]) -> Target:
    """Take the points of an image where the mask of its shape is True."""
    return Target(apply_affine(image.affine, np.argwhere(where)), image.data[where])


def search_affine(
    targets: Sequence[Target], moving: Sequence[Volume], start: Floats, centre: Floats
) -> Floats:
    """Find the affine pose of most mutual information, on levels of two images, finest first.

    Poses, (3, 4), lead from point of the fixed image to point of the moving one, in mm. The one to
    begin with is turned and stretched about the centre, a point (3,) of the fixed image.
    """
    pose = start
    for points, image in zip(reversed(targets), reversed(moving), strict=True):
        pose = _climb(MutualInformation(*points, image), _affine(pose, centre), 12)
    return pose


def search_rigid(metric: MutualInformation, start: Floats, centre: Floats) -> Floats:
    """Find the pose of most mutual information that differs from `start` by a rigid move."""
    return _climb(metric, _rigid(start, centre), 6)


def _climb(metric: MutualInformation, pose: Pose, number: int) -> Floats:
    """Follow the derivative (L-BFGS) from the pose of zeros to a maximum."""
    steps = _DIFFERENCE * np.eye(number)

    def descent(numbers: Floats) -> tuple[float, Floats]:
        value, derivative = metric(pose(numbers))
        changes = [pose(numbers + step) - pose(numbers - step) for step in steps]
        slopes = np.array([(derivative * change).sum() for change in changes])
        return -value, -slopes / (2 * _DIFFERENCE)

    found = minimize(descent, np.zeros(number), jac=True, method="L-BFGS-B", options=_UNTIL)
    return pose(found.x)


def _affine(start: Floats, centre: Floats) -> Pose:
    def pose(numbers: Floats) -> Floats:
        return _about(centre, start, start[:, :3] + numbers[:9].reshape(3, 3) / _RADIUS_MM,
                      numbers[9:])  # fmt: skip

    return pose


def _rigid(start: Floats, centre: Floats) -> Pose:
    def pose(numbers: Floats) -> Floats:
        turn = Rotation.from_rotvec(numbers[:3] / _RADIUS_MM).as_matrix()
        return _about(centre, start, turn @ start[:, :3], numbers[3:])

    return pose


def _about(centre: Floats, start: Floats, matrix: Floats, shift: Floats) -> Floats:
    """Return the pose of that matrix which moves the centre as `start` does, and by the shift."""
    there = start[:, :3] @ centre + start[:, 3] + shift
    return np.column_stack([matrix, there - matrix @ centre])
