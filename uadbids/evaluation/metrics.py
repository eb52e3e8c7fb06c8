"""How well one scan was done: pure functions of masks, maps and voxel sizes."""

import math
from typing import Any, NamedTuple

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree
from sklearn.metrics import precision_recall_curve

from uadbids.detection.postprocess import Spacing, bounding_box

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

RECALLS = np.linspace(0.01, 1.0, 100)
"""Where a curve of precision against recall is kept for the figure."""


class Confusion(NamedTuple):
    """Numbers of voxels: true positive, false positive, false negative, true negative."""

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


class FindingCounts(NamedTuple):
    """26-connected components, and how many of them share a voxel with the other mask."""

    n_true: int  # lesions, and those that were found
    n_hit: int
    n_found: int  # findings, and those that touch a lesion
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
    """Count voxels of two masks (X, Y, Z): everywhere, or in a third one such as the brain."""
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


def precision_recall(
    scores: Floats, truth: Bools
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recall and precision (N,) at every distinct score, from the highest down.

    Scores, of any shape, are larger where more abnormal. Recall does not decrease, and ends at 1;
    both are empty without lesion voxels. ValueError if a score is not finite.
    """
    if scores.shape != truth.shape:
        raise ValueError("Scores and lesions must have one shape.")
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite numbers.")
    if not truth.any():
        return np.empty(0), np.empty(0)
    precision, recall, _ = precision_recall_curve(truth.ravel(), scores.ravel())
    # Theirs runs the other way and ends at a recall of 0.
    return recall[-2::-1], precision[-2::-1]


def average_precision(scores: Floats, truth: Bools) -> float:
    """Area under the precision-recall curve, as a step function of recall, in [0, 1].

    Equal scores are one step, so no order among them can help (a map is 0 over most of a brain).
    Chance is the prevalence; NaN without lesion voxels.
    """
    return _area(*precision_recall(scores, truth))


def lesion_wise(found: Bools, truth: Bools) -> FindingCounts:
    """Count lesions and findings instead of voxels: any shared voxel is a hit, 26-connected."""
    return FindingCounts(*_touched(truth, found), *_touched(found, truth))


def hausdorff95(found: Bools, truth: Bools, spacing: Spacing) -> float:
    """95th percentile of the distance between two surfaces, in mm; NaN if a mask is empty.

    The larger of the two directions: from each surface voxel of one mask to the nearest surface
    voxel of the other. Surface voxels have a face neighbour outside the mask; the edge of the
    array counts as outside. Voxel sizes are in mm.
    """
    if not found.any() or not truth.any():
        return math.nan
    box = bounding_box(found | truth)
    first, second = _surface(found[box], spacing), _surface(truth[box], spacing)
    return max(_directed95(first, second), _directed95(second, first))


def volume_ml(mask: Bools, spacing: Spacing) -> float:
    """Volume of a mask in millilitres; voxel sizes in mm."""
    return int(np.count_nonzero(mask)) * math.prod(spacing) / 1000.0


def mask_figures(found: Bools, truth: Bools, brain: Bools, spacing: Spacing) -> dict[str, Any]:
    """All figures of a mask, by the names of their columns."""
    inside, image = confusion(found, truth, brain | truth), confusion(found, truth)
    lesions = lesion_wise(found, truth)
    true_ml, found_ml = volume_ml(truth, spacing), volume_ml(found, spacing)
    return {
        "dice": image.dice,
        "sensitivity": image.sensitivity,
        "specificity": inside.specificity,
        "specificity_image": image.specificity,
        "precision": image.precision,
        "lesions": lesions.n_true,
        "lesions_found": lesions.n_hit,
        "findings": lesions.n_found,
        "findings_right": lesions.n_right,
        "lesion_recall": lesions.recall,
        "lesion_precision": lesions.precision,
        "lesion_f1": lesions.f1,
        "hd95_mm": hausdorff95(found, truth, spacing),
        "lesion_volume_ml": true_ml,
        "found_volume_ml": found_ml,
        "volume_error_ml": found_ml - true_ml,
        "false_positive_ml": volume_ml(found & ~truth, spacing),
    }


def map_figures(
    scores: Floats, truth: Bools, within: Bools
) -> tuple[dict[str, float], npt.NDArray[np.float64]]:
    """All figures of a map over the voxels ``within``, and its precision at `RECALLS`."""
    recall, precision = precision_recall(scores[within], truth[within])
    if not recall.size:
        return {"average_precision": math.nan, "prevalence": 0.0}, np.full(RECALLS.size, math.nan)
    # The precision at which a recall is reached first; the last recall is 1 but for rounding.
    reached = np.minimum(np.searchsorted(recall, RECALLS), recall.size - 1)
    figures = {
        "average_precision": _area(recall, precision),
        # The average precision of chance.
        "prevalence": float(truth[within].mean()),
    }
    return figures, precision[reached]


def _area(recall: npt.NDArray[np.float64], precision: npt.NDArray[np.float64]) -> float:
    return float(np.sum(np.diff(recall, prepend=0.0) * precision)) if recall.size else math.nan


def _ratio(part: float, whole: float, empty: float = math.nan) -> float:
    return part / whole if whole else empty


def _touched(mask: Bools, other: Bools) -> tuple[int, int]:
    """Count the components of a mask, and those that share a voxel with the other."""
    labels, count = cc3d.connected_components(
        np.ascontiguousarray(mask), connectivity=26, return_N=True
    )
    return int(count), int(np.unique(labels[mask & other]).size)


def _surface(mask: Bools, spacing: Spacing) -> npt.NDArray[np.float64]:
    """Positions of the surface voxels in mm, shape (N, 3)."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.asarray(spacing)


def _directed95(start: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> float:
    distances, _ = KDTree(target).query(start)
    return float(np.percentile(distances, 95))
