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

    Parameters
    ----------
    volumes : sequence of ndarray, each of shape (X, Y, Z)
        Aligned sessions on a 1 mm grid, in [0, 1].
    tissue : ndarray of bool, shape (X, Y, Z)
        What appears normal in all sessions.

    Returns
    -------
    list of (float, float)
        Slope and offset of each session: ``slope * volume + offset`` is comparable. 1 and 0 where
        there is too little tissue.
    """
    if np.count_nonzero(tissue) < _LEAST:
        return [(1.0, 0.0)] * len(volumes)
    share = ndimage.gaussian_filter(tissue.astype(np.float32), _BLUR_MM)[tissue]
    quantiles = np.array([
        np.quantile(
            ndimage.gaussian_filter(np.where(tissue, volume, 0).astype(np.float32), _BLUR_MM)[
                tissue
            ]
            / share,
            _QUANTILES,
        )
        for volume in volumes
    ])  # fmt: skip
    common = quantiles.mean(axis=0)
    lines = (np.polyfit(of_session, common, 1) for of_session in quantiles)
    return [(float(slope), float(offset)) for slope, offset in lines]
