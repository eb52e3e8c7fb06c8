"""Shapes of masks on the grid of an image."""

import math

import cc3d
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


def on_faces(shape: tuple[int, ...]) -> Bools:
    """Return True in the outermost voxels of an image, where no head is."""
    faces = np.ones(shape, dtype=bool)
    faces[1:-1, 1:-1, 1:-1] = False
    return faces


def ball(mm: float, spacing: Spacing) -> Bools:
    """Return the voxels not farther than ``mm`` from the one in the middle.

    As the structure of a morphological operation it is, for a few mm, several times faster than the
    distance of every voxel.
    """
    reaches = [math.ceil(mm / size) for size in spacing]
    offsets = np.meshgrid(*(np.arange(-n, n + 1) for n in reaches), indexing="ij")
    near: Bools = np.linalg.norm(np.stack(offsets, axis=-1) * spacing, axis=-1) <= mm
    return near


def largest_piece(mask: Bools) -> Bools:
    """Return the largest 6-connected component."""
    return np.asarray(cc3d.largest_k(mask, k=1, connectivity=6)) > 0
