"""How well a scan lies on the template, and whether it lies better than beside it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import entropy

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

SHIFT_MM = 8.0
_BINS = 32


def mutual_information(volume: Floats, mask: Bools, t1w: Floats, brain: Bools) -> float:
    """Measure how much a scan says of the template where both show brain; all on one grid.

    Normalised mutual information (Studholme et al. 1999), less that of independent images: 0 if one
    says nothing of the other, 1 for the same image.
    """
    both = mask & brain
    if not both.any():
        return 0.0
    first, second = volume[both], t1w[both]
    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    # scikit-image's takes six times as long, for histograms of any number of dimensions.
    cells = np.bincount(_BINS * _binned(first) + _binned(second), minlength=_BINS**2)
    joint = cells.reshape(_BINS, _BINS)
    marginal = entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1))
    return float(marginal / entropy(joint, axis=None)) - 1.0


def _binned(values: Floats) -> npt.NDArray[np.intp]:
    """Return the bin of each value; bins are equally wide from the least to the largest."""
    low, high = values.min(), values.max()
    bins: npt.NDArray[np.intp] = ((values - low) * (_BINS / (high - low))).astype(np.intp)
    return np.minimum(bins, _BINS - 1)


class Neighbours(NamedTuple):
    """A pose beside six others, by mutual information."""

    here: float  # in the pose itself
    beside: float  # highest with the template shifted to six sides by 8 mm or the next whole voxel
    shift_mm: tuple[float, float, float]  # that shift of the template, to the right, front and top

    @property
    def gain(self) -> float:
        """Ratio of the two: above 1 at a peak.

        The absolute value of mutual information depends on contrast and noise of a scan; whether
        it has its peak here does not.
        """
        return self.here / self.beside if self.beside > 0 else 0.0


def look_around(
    volume: Floats, mask: Bools, t1w: Floats, brain: Bools, *, spacing_mm: float = 1.0
) -> Neighbours:
    """Compare a pose with poses beside it; for the images see `mutual_information`."""
    step = int(-(-SHIFT_MM // spacing_mm))
    box = ndimage.find_objects(mask.astype(np.uint8), max_label=1)[0]
    if box is None:
        return Neighbours(0.0, 0.0, (0.0, 0.0, 0.0))
    volume, mask = volume[box], mask[box]
    # So wide that every shifted template is a view; what leaves on one side comes in on the other.
    t1w, brain = np.pad(t1w, step, mode="wrap"), np.pad(brain, step, mode="wrap")

    def fit(shift: tuple[int, ...]) -> float:
        there = tuple(
            slice(side.start + step - by, side.stop + step - by)
            for side, by in zip(box, shift, strict=True)
        )
        return mutual_information(volume, mask, t1w[there], brain[there])

    shifts = [
        tuple(sign if other == axis else 0 for other in range(3))
        for axis in range(3)
        for sign in (-step, step)
    ]
    beside = list(map(fit, shifts))
    x, y, z = shifts[int(np.argmax(beside))]
    shift_mm = (x * spacing_mm, y * spacing_mm, z * spacing_mm)
    return Neighbours(fit((0, 0, 0)), max(beside), shift_mm)
