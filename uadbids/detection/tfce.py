"""Threshold-free cluster enhancement (TFCE): what lies in a large cluster counts more."""

import cc3d
import numpy as np
import numpy.typing as npt

from uadbids.detection.postprocess import Bools, Floats, bounding_box

# Smith and Nichols 2009: height to the power 2, extent to the power 1/2.
_HEIGHT, _EXTENT = 2.0, 0.5
# Of the enhanced height: small findings, which it would drown, are found by their own.
_WEIGHT = 0.25
# Below a z of 1, half of a brain is joined.
_FIRST, _STEP, _LAST = 1.0, 0.25, 12.0


def enhance(excess: npt.NDArray[np.floating], within: Bools) -> Floats:
    """Raise each voxel of large clusters, on a 1 mm grid.

    Threshold-free cluster enhancement (Smith and Nichols 2009, NeuroImage 44, 83-98) adds up,
    over all heights h that a voxel reaches, ``extent(h)^0.5 h^2 dh``, where the extent is that of
    its 6-connected cluster above h. Here the sum T is brought back to the unit of the map, and
    counts where it is more than the excess itself: ``max(excess, (1 + 3 T)^(1/3) / 4)``. So small
    clusters keep their height, and a voxel in one of n mm3 counts up to ``n^(1/6) / 4`` times as
    much: 1.2 for 10 mL, 1.7 for 100 mL. The faint border of a tumour is then worth as much as a
    small finding.

    The excess, (X, Y, Z), is robust z above what is expected, 0 or more. Clusters are looked for
    ``within`` the eroded brain, so that its boundary joins nothing; outside, the result is 0. It is
    not less than the excess, and equal to it below 1; heights above 12 add nothing more.
    """
    # In C order, whatever comes in: the flat view below must be one.
    whole = np.where(within, excess, 0).astype(np.float32, order="C")
    reached = whole > _FIRST
    if not reached.any():
        return whole
    box = bounding_box(reached)
    enhanced = np.ascontiguousarray(whole[box])
    places = np.flatnonzero(reached[box])
    heights = enhanced.ravel()[places].astype(np.float64)
    total = np.zeros(places.size)
    power = _HEIGHT + 1
    high = np.arange(places.size)
    for bottom in np.arange(_FIRST, _LAST, _STEP):
        high = high[heights[high] > bottom]
        if not high.size:
            break
        clusters = cc3d.connected_components(enhanced > bottom, connectivity=6)
        cluster = clusters.ravel()[places[high]]
        extent = np.bincount(cluster)[cluster]
        top = np.minimum(heights[high], bottom + _STEP)
        slab = (top**power - bottom**power) / power
        total[high] += extent**_EXTENT * slab
    raised = (_FIRST**power + power * total) ** (1 / power)
    flat = enhanced.reshape(-1)
    flat[places] = np.maximum(_WEIGHT * raised, heights)
    whole[box] = enhanced
    return whole
