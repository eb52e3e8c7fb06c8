"""The anomaly map: how a scan differs from its reconstruction."""

import math
from typing import get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from uadbids.detection.hyperintensity import robust_z, tissue_level
from uadbids.detection.tfce import supported
from uadbids.model.config import ResidualKind

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# A robust z of 3 keeps a residual as it is (docs/method.md, 7).
_FULL_Z = 3.0


def residual(
    volume: npt.NDArray[np.floating],
    reconstruction: npt.NDArray[np.floating],
    mask: Bools,
    kind: ResidualKind = "positive",
    smoothing_mm: float = 0.0,
    *,
    examined: Bools | None = None,
    normal: npt.NDArray[np.floating] | None = None,
) -> Floats:
    """Anomaly map ``x - x^`` (paper, section 2.1) on a 1 mm grid.

    The difference is smoothed before its part is taken, so that noise and the light and dark
    edges of a shifted sulcus cancel. The smoothing is normalised inside the mask: the rim is
    not darkened by the zeros outside.

    Parameters
    ----------
    volume, reconstruction : ndarray, shape (X, Y, Z)
        Intensities in [0, 1].
    mask : ndarray of bool, shape (X, Y, Z)
        Brain.
    kind : {'positive', 'signed', 'abs', 'hyperintense', 'excess', 'supported'}
        Positive part (lesions are bright on FLAIR), the difference itself, its magnitude, or one
        of three that call only tissue brighter than the scan's own abnormal: ``hyperintense``, the
        positive part times ``clip(z / 3, 0, 2)`` with z the robust z-score of the equally
        smoothed intensity; ``excess``, by how much that z is above the one that the
        reconstruction expects, if it expects brightness at all: the positive part of
        ``z(x) - max(z(x^), 0)``. A dark sulcus or ventricle that the reconstruction blurs into
        bright tissue cannot make that tissue abnormal. ``supported``, that excess above what is
        ``normal`` at the place, too, raised by the clusters it lies in (`tfce.supported`).
    smoothing_mm : float
        Standard deviation of the Gaussian; 0 for none.
    examined : ndarray of bool, shape (X, Y, Z), optional
        For ``supported``: where clusters are looked for; else the mask.
    normal : ndarray, shape (X, Y, Z), optional
        For ``supported``: robust z that healthy tissue is expected to have, 0 where it is not
        brighter than other tissue.

    Returns
    -------
    ndarray of float32, shape (X, Y, Z)
        0 outside the mask.

    Raises
    ------
    ValueError
        If the kind is not known.
    """
    if kind not in get_args(ResidualKind):
        raise ValueError(f"The residual kind {kind!r} is not known.")
    if kind in ("hyperintense", "excess", "supported"):
        intensity = _smooth(np.where(mask, volume, 0.0).astype(np.float32), mask, smoothing_mm)
    if kind == "excess":
        return _excess(intensity, reconstruction, mask, None)
    if kind == "supported":
        excess = _excess(intensity, reconstruction, mask, normal)
        return supported(excess, mask if examined is None else examined & mask)
    difference = np.where(mask, volume - reconstruction, 0.0).astype(np.float32)
    difference = _smooth(difference, mask, smoothing_mm)
    if kind == "signed":
        return difference
    if kind == "abs":
        return np.abs(difference)
    positive: Floats = np.maximum(difference, 0.0)
    if kind == "positive":
        return positive
    return positive * np.clip(robust_z(intensity, mask) / _FULL_Z, 0.0, 2.0)


def mean_absolute_error(
    volume: npt.NDArray[np.floating], reconstruction: npt.NDArray[np.floating], within: Bools
) -> float:
    """Mean of ``|x - x^|`` over the voxels ``within`` (paper, section 4); NaN without any.

    Given the healthy part of the brain and the lesions apart, it tells whether a model rebuilds
    the one and not the other.
    """
    if not within.any():
        return math.nan
    difference = volume[within].astype(np.float64) - reconstruction[within]
    return float(np.abs(difference).mean())


def _excess(
    intensity: Floats,
    reconstruction: npt.NDArray[np.floating],
    mask: Bools,
    normal: npt.NDArray[np.floating] | None,
) -> Floats:
    median, spread = tissue_level(intensity, mask)
    excess = np.zeros_like(intensity)
    if spread > 0:
        expected = np.maximum(reconstruction[mask], median)
        if normal is not None:
            expected = np.maximum(expected, median + spread * normal[mask])
        excess[mask] = np.maximum(intensity[mask] - expected, 0.0) / spread
    return excess


def _smooth(values: Floats, mask: Bools, sigma: float) -> Floats:
    """Gaussian mean over the voxels of the mask alone; values must be 0 outside."""
    if sigma <= 0:
        return values
    share = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(values, sigma, mode="constant")
    smooth = np.zeros_like(values)
    np.divide(total, share, out=smooth, where=mask)
    return smooth
