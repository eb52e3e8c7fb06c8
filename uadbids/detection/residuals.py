"""The anomaly map: how a scan differs from its reconstruction. One registry of all kinds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from uadbids.detection.hyperintensity import robust_z, tissue_level
from uadbids.detection.postprocess import (
    AT_THRESHOLD,
    HALF_MAXIMUM,
    SMALL_ML,
    Bools,
    Boundary,
    Floats,
    keep_large,
    label_components,
)
from uadbids.detection.tfce import enhance
from uadbids.errors import UsageError
from uadbids.model.config import ResidualKind

INTENSITY, ROBUST_Z = "scaled intensity", "robust z"
"""Units of anomaly maps."""
# A cluster of this enhanced z is large by itself; the reader confirms it where its probability is
# at least this, in at least this share of the cluster (docs/decisions/reader.md).
_CLUSTER_Z, _CONFIRMING, _SHARE = 3.0, 0.3, 0.4


@dataclass(frozen=True)
class Pair:
    """A scan and its reconstruction, all arrays of shape (X, Y, Z) on a 1 mm grid."""

    volume: npt.NDArray[np.floating]  # intensities in [0, 1]
    reconstruction: npt.NDArray[np.floating]  # of the same
    mask: Bools  # brain
    smoothing_mm: float = 0.0  # standard deviation of the Gaussian; 0 for none
    examined: Bools | None = None  # where clusters are looked for; else the mask
    # Robust z that healthy tissue is expected to have at its place, 0 where it is not brighter than
    # other tissue.
    normal: npt.NDArray[np.floating] | None = None
    # Of lesion, as the reader says; for the kind that needs it.
    probability: npt.NDArray[np.floating] | None = None

    def difference(self) -> Floats:
        """Return ``x - x^``, smoothed: noise and the edges of a shifted sulcus cancel."""
        difference = np.where(self.mask, self.volume - self.reconstruction, 0.0)
        return _smooth(difference.astype(np.float32), self.mask, self.smoothing_mm)

    def positive(self) -> Floats:
        """Return the positive part of the difference."""
        return np.maximum(self.difference(), np.float32(0.0))

    @cached_property
    def intensity(self) -> Floats:
        """The volume, as smooth as the difference; more than one map starts from it."""
        volume = np.where(self.mask, self.volume, 0.0).astype(np.float32)
        return _smooth(volume, self.mask, self.smoothing_mm)

    @cached_property
    def tissue(self) -> tuple[float, float]:
        """Median and spread of the tissue of that intensity."""
        return tissue_level(self.intensity, self.mask)

    def excess(self) -> Floats:
        """Return by how much z is above what reconstruction, tissue and place let expect."""
        intensity = self.intensity
        median, spread = self.tissue
        excess = np.zeros_like(intensity)
        if spread > 0:
            expected = np.maximum(self.reconstruction[self.mask], median)
            if self.normal is not None:
                expected = np.maximum(expected, median + spread * self.normal[self.mask])
            excess[self.mask] = np.maximum(intensity[self.mask] - expected, 0.0) / spread
        return excess

    def enhanced(self) -> Floats:
        """Return the excess, enhanced in clusters."""
        return enhance(self.excess(), self._within())

    def read(self) -> Floats:
        """Return z, weighted by the reader's probability and enhanced in clusters.

        Large clusters of the excess that the reader confirms keep their own enhanced excess: the
        reader is sure of the middle of a tumour, the excess knows its faint part. ValueError
        without a probability.
        """
        if self.probability is None:
            raise ValueError("This map needs the probability of a reader.")
        within = self._within()
        z = np.maximum(robust_z(self.intensity, self.mask, self.tissue), np.float32(0.0))
        scores = enhance(np.sqrt(self.probability) * z, within)
        excess = self.enhanced()
        large = keep_large((excess > _CLUSTER_Z) & within, round(1000 * SMALL_ML))
        labels = label_components(large)
        sure = (self.probability >= _CONFIRMING).ravel()
        size = np.bincount(labels.ravel())
        share = np.bincount(labels.ravel(), weights=sure) / np.maximum(size, 1)
        confirmed = large & (share >= _SHARE)[labels]
        return np.where(confirmed, np.maximum(scores, excess), scores)

    def _within(self) -> Bools:
        return self.mask if self.examined is None else self.examined & self.mask


@dataclass(frozen=True)
class Residual:
    """One kind of residual."""

    name: ResidualKind  # as in cards and sidecars
    unit: str  # of its values
    meaning: str  # for people
    function: Callable[[Pair], Floats]  # makes the map
    boundary: Boundary = AT_THRESHOLD  # where its findings end
    needs_place: bool = False  # whether what is normal at a place counts
    # Whether a bundle must have a reader. All of the brain is then examined, not only what is
    # reconstructed.
    needs_reader: bool = False


# The first three are the paper's. The others call only tissue brighter than the scan's own
# abnormal: a dark sulcus or ventricle that the reconstruction blurs into bright tissue cannot make
# that tissue abnormal.
RESIDUALS: Mapping[str, Residual] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Residual("positive", INTENSITY, "positive part of x - x^", Pair.positive),
            Residual("signed", INTENSITY, "x - x^", Pair.difference),
            Residual("abs", INTENSITY, "magnitude of x - x^", lambda p: np.abs(p.difference())),
            Residual("excess-z", ROBUST_Z, "positive part of z(x) - max(z(x^), 0)", Pair.excess),
            Residual("tfce", ROBUST_Z, "z(x) above reconstruction, tissue and what is normal at "
                     "its place, enhanced in clusters (TFCE)", Pair.enhanced,
                     boundary=HALF_MAXIMUM, needs_place=True),
            Residual("reader", ROBUST_Z, "z(x), weighted by the square root of the reader's "
                     "probability of lesion and enhanced in clusters (TFCE)", Pair.read,
                     boundary=Boundary(part=0.5, fills=True),
                     needs_place=True, needs_reader=True),
        )
    }
)  # fmt: skip
"""All kinds by name; z is the MAD-scaled robust z of the smoothed intensity."""


def residual_of(metadata: Mapping[str, object]) -> Residual:
    """Kind of the map of a scan, by its sidecar; the paper's where it is not stated.

    UsageError for a kind that this version does not know.
    """
    kind = str(metadata.get("ResidualKind") or "positive")
    if kind not in RESIDUALS:
        raise UsageError(
            f"there is no residual {kind!r} in this version, which knows {', '.join(RESIDUALS)}; "
            "run uadbids participant again"
        )
    return RESIDUALS[kind]


def residual(
    volume: npt.NDArray[np.floating],
    reconstruction: npt.NDArray[np.floating],
    mask: Bools,
    kind: str = "positive",
    smoothing_mm: float = 0.0,
    *,
    examined: Bools | None = None,
    normal: npt.NDArray[np.floating] | None = None,
    probability: npt.NDArray[np.floating] | None = None,
) -> Floats:
    """Anomaly map of a scan and its reconstruction (paper, section 2.1) on a 1 mm grid.

    The smoothing is normalised inside the mask: zeros outside do not darken its boundary. For what
    is given see `Pair`; a kind that does not need place leaves ``normal`` out. ValueError for a
    kind that is none of `RESIDUALS`. The map has the shape (X, Y, Z), and is 0 outside the mask.
    """
    if kind not in RESIDUALS:
        raise ValueError(f"The residual kind {kind!r} is not known.")
    wanted = RESIDUALS[kind]
    normal = normal if wanted.needs_place else None
    return wanted.function(
        Pair(volume, reconstruction, mask, smoothing_mm, examined, normal, probability)
    )


def mean_absolute_error(
    volume: npt.NDArray[np.floating], reconstruction: npt.NDArray[np.floating], within: Bools
) -> float:
    """Mean of ``|x - x^|`` over the voxels ``within`` (paper, section 4); NaN without any.

    Given healthy and lesion tissue apart, it shows whether a model rebuilds the one and not the
    other.
    """
    if not within.any():
        return math.nan
    difference = volume[within].astype(np.float64) - reconstruction[within]
    return float(np.abs(difference).mean())


def _smooth(values: Floats, mask: Bools, sigma: float) -> Floats:
    """Gaussian mean over the voxels of the mask alone; values must be 0 outside."""
    if sigma <= 0:
        return values
    share = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(values, sigma, mode="constant")
    smooth = np.zeros_like(values)
    np.divide(total, share, out=smooth, where=mask)
    return smooth
