"""How well one scan was done: pure functions of masks, maps and voxel sizes."""

import math
from typing import NamedTuple

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from uadbids.detection.postprocess import Spacing, bounding_box

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]


class Confusion(NamedTuple):
    """Voxels by what was found and what is true.

    Attributes
    ----------
    tp, fp, fn, tn : int
        True positive, false positive, false negative, true negative.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """Overlap in [0, 1]; 1 where nothing was found and there is nothing."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty=1.0)

    @property
    def sensitivity(self) -> float:
        """Share of the lesion voxels that were found; NaN without lesions."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the other voxels that were left alone; NaN where all is lesion."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        """Share of the found voxels that are lesion; NaN where nothing was found."""
        return _ratio(self.tp, self.tp + self.fp)


class LesionCounts(NamedTuple):
    """26-connected lesions, and how many of them share a voxel with the other mask.

    Attributes
    ----------
    n_true, n_hit : int
        Lesions, and those that were found.
    n_found, n_right : int
        Findings, and those that touch a lesion.
    """

    n_true: int
    n_hit: int
    n_found: int
    n_right: int

    @property
    def recall(self) -> float:
        """Share of the lesions that were found; NaN without lesions."""
        return _ratio(self.n_hit, self.n_true)

    @property
    def precision(self) -> float:
        """Share of the findings that touch a lesion; NaN without findings."""
        return _ratio(self.n_right, self.n_found)

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; 0 if one mask is empty, 1 if both are."""
        if not self.n_true or not self.n_found:
            return float(self.n_true == self.n_found)
        return _ratio(2 * self.recall * self.precision, self.recall + self.precision, empty=0.0)


def confusion(found: Bools, truth: Bools, within: Bools | None = None) -> Confusion:
    """Count voxels.

    Parameters
    ----------
    found, truth : ndarray of bool, shape (X, Y, Z)
        What was marked, and what is lesion.
    within : ndarray of bool, shape (X, Y, Z), optional
        Where to count, such as the brain; everywhere if None.

    Returns
    -------
    Confusion
        Counts of voxels.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if found.shape != truth.shape or (within is not None and within.shape != truth.shape):
        raise ValueError("Masks that are compared must have one shape.")
    if within is not None:
        found, truth = found[within], truth[within]
    tp = int(np.count_nonzero(found & truth))
    n_found, n_true = int(np.count_nonzero(found)), int(np.count_nonzero(truth))
    return Confusion(tp, n_found - tp, n_true - tp, truth.size - n_found - n_true + tp)


def dice(found: Bools, truth: Bools) -> float:
    """Dice coefficient of two masks, in [0, 1]; two empty ones agree: 1."""
    return confusion(found, truth).dice


def average_precision(scores: Floats, truth: Bools) -> float:
    """Area under the precision-recall curve, as a step function of recall.

    Exact: every distinct score is a threshold, and equal scores are one step, so no order among
    them can help (a map is 0 over most of a brain).

    Parameters
    ----------
    scores : ndarray, any shape
        Larger where more abnormal; finite.
    truth : ndarray of bool, same shape
        Lesion.

    Returns
    -------
    float
        In [0, 1]; chance is the prevalence. NaN without lesion voxels.
    """
    recall, precision = precision_recall(scores, truth)
    if not recall.size:
        return math.nan
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def precision_recall(
    scores: Floats, truth: Bools
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recall and precision at every distinct score, from the highest down.

    Parameters
    ----------
    scores : ndarray, any shape
        Larger where more abnormal.
    truth : ndarray of bool, same shape
        Lesion.

    Returns
    -------
    ndarray of float, shape (N,)
        Recall, not decreasing, up to 1; empty without lesion voxels.
    ndarray of float, shape (N,)
        Precision.

    Raises
    ------
    ValueError
        If the shapes differ, or a score is not finite.
    """
    if scores.shape != truth.shape:
        raise ValueError("Scores and lesions must have one shape.")
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite numbers.")
    if not truth.any():
        return np.empty(0), np.empty(0)
    order = np.argsort(scores, axis=None, kind="stable")[::-1]
    ranked = scores.ravel()[order]
    hits = np.cumsum(truth.ravel()[order], dtype=np.int64)
    last_of_its_value = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    hits = hits[last_of_its_value]
    return hits / hits[-1], hits / (last_of_its_value + 1.0)


def prevalence(truth: Bools, within: Bools) -> float:
    """Share of the voxels ``within`` that are lesion: the average precision of chance."""
    return _ratio(int(np.count_nonzero(truth & within)), int(np.count_nonzero(within)))


def lesion_wise(found: Bools, truth: Bools) -> LesionCounts:
    """Count lesions instead of voxels: any shared voxel is a hit, 26-connected.

    Parameters
    ----------
    found, truth : ndarray of bool, shape (X, Y, Z)
        What was marked, and what is lesion.

    Returns
    -------
    LesionCounts
        Counts of components.
    """
    n_true, n_hit = _touched(truth, found)
    n_found, n_right = _touched(found, truth)
    return LesionCounts(n_true, n_hit, n_found, n_right)


def hausdorff95(found: Bools, truth: Bools, spacing: Spacing) -> float:
    """95th percentile of the distance between two surfaces, in mm.

    The larger of the two directions: from each surface voxel of one mask to the nearest surface
    voxel of the other. Surface voxels have a face neighbour outside the mask; the edge of the
    array counts as outside.

    Parameters
    ----------
    found, truth : ndarray of bool, shape (X, Y, Z)
        What was marked, and what is lesion.
    spacing : tuple of float
        Voxel sizes in mm.

    Returns
    -------
    float
        Millimetres, at least 0; NaN if a mask is empty.
    """
    if not found.any() or not truth.any():
        return math.nan
    box = bounding_box(found | truth)
    first, second = _surface(found[box], spacing), _surface(truth[box], spacing)
    return max(_directed95(first, second), _directed95(second, first))


def volume_ml(mask: Bools, spacing: Spacing) -> float:
    """Volume of a mask in millilitres; voxel sizes in mm."""
    return int(np.count_nonzero(mask)) * math.prod(spacing) / 1000.0


def false_positive_ml(found: Bools, truth: Bools, spacing: Spacing) -> float:
    """Volume in millilitres of what was marked and is no lesion; voxel sizes in mm."""
    return volume_ml(found & ~truth, spacing)


def _ratio(part: float, whole: float, empty: float = math.nan) -> float:
    return part / whole if whole else empty


def _touched(mask: Bools, other: Bools) -> tuple[int, int]:
    """Count the components of a mask, and those that share a voxel with the other."""
    labels, count = cc3d.connected_components(
        np.ascontiguousarray(mask), connectivity=26, return_N=True
    )
    hit = np.unique(labels[mask & other])
    return int(count), int(hit.size)


def _surface(mask: Bools, spacing: Spacing) -> npt.NDArray[np.float64]:
    """Positions of the surface voxels in mm, shape (N, 3)."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.asarray(spacing)


def _directed95(start: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> float:
    distances, _ = KDTree(target).query(start)
    return float(np.percentile(distances, 95))
