"""Healthy residuals as a reference: a threshold without labels, and a score in [0, 1]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from uadbids.errors import UsageError

Floats = npt.NDArray[np.floating]

# Coarse over the bulk, eight steps a decade down to one voxel in a million.
_PROBABILITIES = np.concatenate(
    [np.linspace(0.0, 0.9, 46), 1.0 - np.logspace(-1.0, -6.0, 41)[1:], [1.0]]
)


@dataclass(frozen=True)
class Calibration:
    """Distribution of residuals in held-out healthy brains (docs/method.md, 8).

    ValueError if the two rows are no such table.
    """

    probabilities: tuple[float, ...]  # increasing, from 0 to 1
    # Quantile of the healthy residuals at each probability, not decreasing.
    residuals: tuple[float, ...]
    n_subjects: int  # what was pooled
    n_voxels: int

    def __post_init__(self) -> None:
        p, r = np.asarray(self.probabilities), np.asarray(self.residuals)
        if p.ndim != 1 or p.shape != r.shape or p.size < 2:
            raise ValueError("A calibration needs two rows of numbers of the same length.")
        sound = np.isfinite(p).all() and np.isfinite(r).all()
        if not sound or p[0] != 0 or p[-1] != 1 or (np.diff(p) <= 0).any():
            raise ValueError("Calibration probabilities must increase from 0 to 1.")
        if (np.diff(r) < 0).any() or self.n_subjects < 1 or self.n_voxels < 1:
            raise ValueError("Calibration residuals must not decrease, nor counts be below 1.")

    def threshold(self, false_positive_rate: float) -> float:
        """Residual that this fraction of healthy voxels exceeds.

        The rate lies between 0 and 1, both excluded; 0.001 is about 1 mL of a brain. UsageError if
        it is outside, or finer than the healthy voxels resolve.
        """
        if not 0.0 < false_positive_rate < 1.0:
            raise UsageError(
                f"The false-positive rate {false_positive_rate} must lie between 0 and 1, for "
                "example 0.001."
            )
        if false_positive_rate * self.n_voxels < 1.0:
            raise UsageError(
                f"The false-positive rate {false_positive_rate} is finer than the model's "
                f"{self.n_voxels} healthy voxels resolve; give a larger one or a threshold."
            )
        return float(np.interp(1.0 - false_positive_rate, self.probabilities, self.residuals))

    def score(self, residual: Floats) -> npt.NDArray[np.float32]:
        """Fraction of healthy voxels with a smaller residual, of any shape, as float32 in [0, 1].

        It does not decrease in the residual, and is 0 for the smallest healthy residual.
        """
        least = residual <= self.residuals[0]
        return np.where(least, 0.0, self.share_below(residual)).astype(np.float32)

    def share_below(self, residual: Floats) -> npt.NDArray[np.float64]:
        """Share of healthy voxels that do not exceed each residual, in float64."""
        # Many healthy residuals are exactly 0: everything above them exceeds them all.
        values, from_end = np.unique(np.asarray(self.residuals)[::-1], return_index=True)
        reached = np.asarray(self.probabilities)[::-1][from_end]
        return np.interp(residual, values, reached)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "probabilities": list(self.probabilities),
            "residuals": list(self.residuals),
            "n_subjects": self.n_subjects,
            "n_voxels": self.n_voxels,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Calibration of what `to_dict` gave; KeyError, TypeError or ValueError for others."""
        return cls(
            probabilities=tuple(float(p) for p in values["probabilities"]),
            residuals=tuple(float(r) for r in values["residuals"]),
            n_subjects=int(values["n_subjects"]),
            n_voxels=int(values["n_voxels"]),
        )


def calibrate(residuals: Sequence[Floats]) -> Calibration:
    """Pool the residuals of held-out healthy subjects: quantiles of all voxels together.

    One array of any shape per subject, of the examined voxels only. ValueError if there is no
    voxel, or a value is not finite.
    """
    pooled = np.concatenate([np.ravel(r) for r in residuals]) if residuals else np.empty(0)
    if not pooled.size or not np.isfinite(pooled).all():
        raise ValueError("Calibration needs finite residuals of at least one healthy subject.")
    quantiles = np.quantile(pooled.astype(np.float64), _PROBABILITIES)
    return Calibration(
        probabilities=tuple(_PROBABILITIES.tolist()),
        # Interpolation between equal values can be off by one unit in the last place.
        residuals=tuple(np.maximum.accumulate(quantiles).tolist()),
        n_subjects=len(residuals),
        n_voxels=int(pooled.size),
    )
