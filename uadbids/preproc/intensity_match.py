"""Make the grey values of several sessions of one person comparable."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Of the tissue's grey values; what is beyond may be lesion or partial volume.
_QUANTILES = np.linspace(0.05, 0.95, 19)
# Noise would widen them.
_BLUR_MM = 1.5
# Fewer voxels say nothing of contrast.
_LEAST = 5000


def match_intensities(
    volumes: Sequence[npt.NDArray[np.floating]], tissue: Bools
) -> list[tuple[float, float]]:
    """Find the lines that bring sessions to their common grey values.

    For each session, a line is laid through 19 quantiles of its normal tissue and the means of
    these over the sessions. Neither lesions nor a few voxels that have changed move it, no session
    is the reference, and it holds where the contrast of two sessions has little in common (a
    regression of one on the other would then flatten both).

    Aligned sessions are on a 1 mm grid, (X, Y, Z), in [0, 1]; tissue is what appears normal in all
    of them. ``slope * volume + offset`` of a session is comparable; they are 1 and 0
    where there is too little tissue.
    """
    if np.count_nonzero(tissue) < _LEAST:
        return [(1.0, 0.0)] * len(volumes)
    share = ndimage.gaussian_filter(tissue.astype(np.float32), _BLUR_MM)[tissue]
    kept = (np.where(tissue, volume, 0).astype(np.float32) for volume in volumes)
    smooth = (ndimage.gaussian_filter(values, _BLUR_MM)[tissue] / share for values in kept)
    quantiles = np.array([np.quantile(values, _QUANTILES) for values in smooth])
    common = quantiles.mean(axis=0)
    lines = (np.polyfit(of_session, common, 1) for of_session in quantiles)
    return [(float(slope), float(offset)) for slope, offset in lines]
