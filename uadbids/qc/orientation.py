"""Does the head lie as its header says? A rigid search ends nearby either way."""

from itertools import permutations, product

import numpy as np

from uadbids.preproc.similarity import Bools, Floats, mutual_information

# Voxels of 3 mm show a head's front, and 46 poses are compared in a fraction of a second.
STEP = 3
_AS_IT_IS = ((0, 1, 2), (1, 1, 1))
# Left and right look alike: of them only the header knows.
_MIRRORED = ((0, 1, 2), (-1, 1, 1))


def orientation_ratio(volume: Floats, t1w: Floats, brain: Bools) -> float:
    """Compare how well an aligned brain fits the template with how well it would turned.

    The volume, (X, Y, Z), is 0 outside the brain; template and its brain mask are on the same grid.
    Returned is the mutual information with the template where either shows brain, over the highest
    of the 46 other poses along the axes, turned or mirrored but for left and right: well above 1
    where the head lies as it should (``benchmarks/orientation.py``).
    """
    # Both in the middle of a cube, so that turns keep them on each other.
    head, target = _cube(volume, volume > 0), _cube(np.where(brain, t1w, 0), brain)
    found = {
        (axes, signs): _fit(_posed(head, axes, signs), target)
        for axes in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    }
    others = [value for pose, value in found.items() if pose not in (_AS_IT_IS, _MIRRORED)]
    return found[_AS_IT_IS] / max(*others, float(np.finfo(float).tiny))


def _fit(head: Floats, target: Floats) -> float:
    shown = (head > 0) | (target > 0)
    return mutual_information(head, shown, target, shown)


def _cube(data: Floats, brain: Bools) -> Floats:
    """Take every third voxel of a cube around the middle of the brain; 0 beyond the data."""
    side = max(data.shape)
    cube = np.zeros((-(-side // STEP),) * 3, dtype=data.dtype)
    here, there = [], []
    for axis, length in enumerate(data.shape):
        counts = brain.sum(tuple(other for other in range(3) if other != axis))
        middle = round(float(np.average(np.arange(length), weights=counts))) if brain.any() else 0
        places = middle - side // 2 + STEP * np.arange(len(cube))
        inside = (places >= 0) & (places < length)
        here.append(np.flatnonzero(inside))
        there.append(places[inside])
    cube[np.ix_(*here)] = data[np.ix_(*there)]
    return cube


def _posed(cube: Floats, axes: tuple[int, ...], signs: tuple[int, ...]) -> Floats:
    return cube.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
