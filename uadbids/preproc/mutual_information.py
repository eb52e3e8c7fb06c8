"""Mutual information of two images in a pose, with its derivative (Mattes et al. 2003)."""

import numpy as np
import numpy.typing as npt

from uadbids.preproc.volume import Volume

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

BINS = 32
# A cubic B-spline reaches two bins to either side.
_EDGE = 2
# Fewer of the points inside the scan than this share of those at the first look: no pose.
_LEAST_SHARE = 0.5
_TINY = 1e-12


class MutualInformation:
    """Mutual information between points of a fixed image, (N, 3) in mm, and a moving one.

    Every point counts, and always the same ones: its maximum does not depend on chance. Points
    outside the moving image, which is interpolated linearly, or its mask, are left out. The Parzen
    window is zero-order for the fixed image, whose grey values have the shape (N,), and a cubic
    B-spline for the moving one (Mattes et al., IEEE Trans Med Imaging 22, 2003).
    """

    def __init__(
        self, points: Floats, values: Floats, moving: Volume, mask: Bools | None = None
    ) -> None:
        self._points = points.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        rows = (values - low) * (BINS / max(high - low, _TINY))
        self._rows = np.clip(rows.astype(np.int64), 0, BINS - 1) * BINS
        data = np.ascontiguousarray(moving.data, dtype=np.float32)
        low, high = float(data.min()), float(data.max())
        self._scale = (BINS - 1 - 2 * _EDGE) / max(high - low, _TINY)
        self._moving = (data.ravel() - low) * np.float32(self._scale) + _EDGE
        self._shape = np.array(data.shape)
        self._strides = np.array([data.shape[1] * data.shape[2], data.shape[2], 1])
        self._mask = None if mask is None else np.ascontiguousarray(mask).ravel()
        self._to_voxels = np.linalg.inv(moving.affine)
        self._least = 0.0

    def __call__(self, pose: Floats) -> tuple[float, Floats]:
        """Measure a pose, (3, 4), from point of the fixed image to point of the moving one, in mm.

        Mutual information in nats, 0 or more, and its derivative by the pose; zeros where too few
        points lie inside the moving image.
        """
        inverse = self._to_voxels[:3, :3]
        to_voxels = inverse @ pose
        to_voxels[:, 3] += self._to_voxels[:3, 3]
        at = self._points @ to_voxels[:, :3].T.astype(np.float32)
        at += to_voxels[:, 3].astype(np.float32)
        inside = self._inside(at)
        number = np.count_nonzero(inside)
        self._least = self._least or _LEAST_SHARE * number
        if not number or number < self._least:
            return 0.0, np.zeros((3, 4))
        at, points, rows = at[inside], self._points[inside], self._rows[inside]
        bins, slopes = self._interpolate(at)
        value, by_bin = _information(rows, bins)
        slopes *= by_bin
        derivative = np.column_stack([slopes @ points, slopes.sum(axis=1)])
        return value, inverse.T @ derivative.astype(float)

    def _inside(self, at: Floats) -> Bools:
        inside: Bools = np.all((at >= 0) & (at < self._shape - 1), axis=1)
        if self._mask is not None:
            nearest = np.rint(at[inside]).astype(np.int64) @ self._strides
            inside[inside] = self._mask[nearest]
        return inside

    def _interpolate(self, at: Floats) -> tuple[Floats, Floats]:
        """Return values in bins, (N,), and their derivatives along the voxels' axes, (3, N)."""
        corner = at.astype(np.int64)
        x, y, z = (at - corner).T.astype(np.float32)
        first = corner @ self._strides
        a, b, c = self._strides
        v = [self._moving[first + step] for step in (0, c, b, b + c, a, a + c, a + b, a + b + c)]
        dx = [v[4 + n] - v[n] for n in range(4)]
        along = [v[n] + x * dx[n] for n in range(4)]
        dy = [along[2] - along[0], along[3] - along[1]]
        low, high = along[0] + y * dy[0], along[1] + y * dy[1]
        slopes = np.stack([
            (1 - y) * ((1 - z) * dx[0] + z * dx[1]) + y * ((1 - z) * dx[2] + z * dx[3]),
            (1 - z) * dy[0] + z * dy[1],
            high - low,
        ])  # fmt: skip
        return low + z * (high - low), slopes


def _information(rows: npt.NDArray[np.int64], bins: Floats) -> tuple[float, Floats]:
    """Return mutual information, and its derivative by the value of each point, in bins."""
    column = bins.astype(np.int64)
    r = bins - column
    q = 1 - r
    weights = (q**3 / 6, r * r * (r / 2 - 1) + 2 / 3, q * q * (q / 2 - 1) + 2 / 3, r**3 / 6)
    slopes = (-q * q / 2, r * (1.5 * r - 2), -q * (1.5 * q - 2), r * r / 2)
    cells = [rows + column + step for step in (-1, 0, 1, 2)]
    joint = np.zeros(BINS * BINS)
    for cell, weight in zip(cells, weights, strict=True):
        joint += np.bincount(cell, weight, minlength=BINS * BINS)
    joint = joint.reshape(BINS, BINS) / len(bins)
    fixed, moving = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    value = float((joint * np.log((joint + _TINY) / (fixed * moving + _TINY))).sum())
    # What is the same for all bins adds up to nothing.
    by_cell = np.log((joint + _TINY) / (moving + _TINY)).ravel().astype(np.float32)
    change = sum(slope * by_cell[cell] for cell, slope in zip(cells, slopes, strict=True))
    return value, change / len(bins)
