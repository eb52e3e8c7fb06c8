"""Outlines of masks and levels of pictures as SVG paths."""

from collections.abc import Sequence

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray


def mask_outline(
    mask: NDArray[np.bool_], spacing: tuple[float, float], at: tuple[float, float] = (0.0, 0.0)
) -> str:
    """Border of a mask along its pixel edges, as SVG path data in mm.

    Doubling the pixels puts the half-level line on the true edge, so even a single voxel keeps its
    size; a frame of zeros closes lines at the picture's border. `at` is where the mask's top left
    corner lies, in mm.
    """
    doubled = np.pad(np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1), 1).astype(float)
    return level_outline(doubled, 0.5, (spacing[0] / 2, spacing[1] / 2), offset=-0.5, at=at)


def level_outline(
    picture: NDArray[np.floating],
    level: float,
    spacing: tuple[float, float],
    *,
    offset: float = 0.5,
    min_points: int = 3,
    at: tuple[float, float] = (0.0, 0.0),
) -> str:
    """Lines of equal value in a picture, as SVG path data in mm; short ones are left out."""
    lines = contour_generator(z=picture).lines(level)
    scale = np.array(spacing)
    return "".join(
        line_path((np.asarray(line) + offset) * scale + at)
        for line in lines
        if len(line) >= min_points
    )


def line_path(points: NDArray[np.floating] | Sequence[tuple[float, float]]) -> str:
    """Relative path with a tenth of a millimetre per step; runs in one direction are merged."""
    tenths = np.round(np.asarray(points) * 10).astype(int)
    steps = np.diff(tenths, axis=0)
    steps = steps[np.any(steps != 0, axis=1)]
    if not len(steps):
        return ""
    # Cross product 0 and dot product > 0: same direction as the step before.
    cross = steps[1:, 0] * steps[:-1, 1] - steps[1:, 1] * steps[:-1, 0]
    turn = np.concatenate([[True], (cross != 0) | (np.sum(steps[1:] * steps[:-1], axis=1) < 0)])
    merged = np.add.reduceat(steps, np.flatnonzero(turn), axis=0) / 10
    x, y = tenths[0] / 10
    return f"M{x:g} {y:g}l" + " ".join(f"{dx:g} {dy:g}" for dx, dy in merged)
