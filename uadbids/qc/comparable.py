"""Whether two sessions of one person can be compared: slices, coverage, contrast, noise, fit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from uadbids.preproc.atlas import Atlas

Bools = npt.NDArray[np.bool_]

# See docs/decisions/follow-up.md for each.
_THICKNESS_RATIO = 1.6
_LEAST_COVERAGE = 0.9
_CONTRAST_DIFFERENCE = 0.12
_NOISE_RATIO = 2.5
_LEAST_FIT = 0.65
_FLUID = 0.6
_BLUR_MM = 2.0


@dataclass(frozen=True)
class SessionQuality:
    """What was measured of one session on the common grid."""

    thickness_mm: float  # longest edge of the voxels of the scan
    grey_white: float  # median of cortex over that of white matter, in the middle of both by atlas
    noise: float  # MAD-scaled deviation of white matter from its surroundings, over brain's median


def measure_session(
    volume: npt.NDArray[np.floating], brain: Bools, thickness_mm: float
) -> SessionQuality:
    """Measure a session before its grey values are matched; arrays of shape (170, 204, 170)."""
    tissues = Atlas.packaged().on_template()
    level = float(np.median(volume[brain]))
    tissue = brain & (volume > _FLUID * level)
    white = tissue & ndimage.binary_erosion(tissues.white, iterations=2)
    cortex = tissue & tissues.cortex
    fine = volume - ndimage.gaussian_filter(volume, 1.0)
    spread = np.median(np.abs(fine[white])) if white.any() else np.nan
    ratio = np.median(volume[cortex]) / np.median(volume[white]) if white.any() else np.nan
    return SessionQuality(thickness_mm, float(ratio), float(1.4826 * spread / level))


def coverage(brains: tuple[Bools, Bools]) -> float:
    """Share of the smaller brain mask, from 0 to 1, that the other session has, too."""
    smaller = min(int(brain.sum()) for brain in brains)
    return int((brains[0] & brains[1]).sum()) / max(smaller, 1)


def fit(
    volumes: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]], brains: tuple[Bools, Bools]
) -> float:
    """Correlation of two sessions over the brain that both have, smoothed by 2 mm."""
    both = brains[0] & brains[1]
    if not both.any():
        return 0.0
    smooth = (ndimage.gaussian_filter(volume, _BLUR_MM)[both] for volume in volumes)
    return float(np.corrcoef(*smooth)[0, 1])


def why_not_comparable(
    first: SessionQuality, second: SessionQuality, *, coverage: float, fit: float
) -> str:
    """Give the reasons against comparing two sessions, as one clause; empty if there is none."""
    reasons = []
    if fit < _LEAST_FIT:
        reasons.append(
            f"the brains do not fit each other (correlation {fit:.2f}): another person, or an "
            "alignment that failed"
        )
    thick, thin = sorted((first.thickness_mm, second.thickness_mm), reverse=True)
    if thick > _THICKNESS_RATIO * thin:
        reasons.append(
            f"slices are {thick:.1f} mm thick in one session and {thin:.1f} in the other"
        )
    if coverage < _LEAST_COVERAGE:
        reasons.append(f"only {100 * coverage:.0f} % of the brain is in both")
    if abs(first.grey_white - second.grey_white) > _CONTRAST_DIFFERENCE:
        reasons.append(
            f"cortex is {first.grey_white:.2f} times as bright as white matter in one session and "
            f"{second.grey_white:.2f} times in the other"
        )
    high, low = sorted((first.noise, second.noise), reverse=True)
    if high > _NOISE_RATIO * low:
        reasons.append(f"one session has {high / low:.1f} times the noise of the other")
    return "; ".join(reasons)
