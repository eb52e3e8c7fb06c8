"""Does the head lie as its header says? A rigid search cannot tell: it ends nearby either way."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np

from uadbids.preproc.grid import Template

# Voxels of 3 mm show a head's front, and 46 poses are compared in a second.
STEP = 3
BINS = 32
_AS_IT_IS = ((0, 1, 2), (1, 1, 1))
# Left and right look alike: of them only the header knows.
_MIRRORED = ((0, 1, 2), (-1, 1, 1))


def orientation_ratio(volume: np.ndarray, template: Template) -> float:
    """Compare how well an aligned brain fits the template with how well it would turned.

    Parameters
    ----------
    volume : ndarray, shape (170, 204, 170)
        Brain on the template grid, 0 outside.
    template : Template
        Template image and brain mask.

    Returns
    -------
    float
        Mutual information with the template, over the highest of the 46 other poses along the
        axes, turned or mirrored but for left and right: well above 1 where the head lies as it
        should (``benchmarks/orientation.py``).
    """
    fixed = np.asarray(nib.load(template.t1w).dataobj, dtype=np.float32)
    inside = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    # Both in the middle of a cube, so that turns keep them on each other.
    head, target = _cube(volume, volume > 0), _cube(np.where(inside, fixed, 0), inside)
    found = {
        (axes, signs): _mutual_information(_posed(head, axes, signs), target)
        for axes in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    }
    others = [value for pose, value in found.items() if pose not in (_AS_IT_IS, _MIRRORED)]
    return found[_AS_IT_IS] / max(*others, np.finfo(float).tiny)


def _cube(data: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Cut a cube around the middle of the brain and make bins of its grey values."""
    side = max(data.shape)
    middle = (
        [round(float(np.mean(index))) for index in np.nonzero(brain)] if brain.any() else [0] * 3
    )
    padded = np.pad(data, side // 2)
    cube = padded[tuple(slice(m, m + side, STEP) for m in middle)]
    return np.asarray(np.clip(cube / max(cube.max(), 1e-9) * BINS, 0, BINS - 1), dtype=np.intp)


def _posed(cube: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    return cube.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]


def _mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mutual information (nats) of two images of bins, where either shows something."""
    shown = (first > 0) | (second > 0)
    joint = np.bincount(first[shown] * BINS + second[shown], minlength=BINS**2).astype(float)
    joint = joint.reshape(BINS, BINS) / max(1.0, joint.sum())
    return _entropy(joint.sum(0)) + _entropy(joint.sum(1)) - _entropy(joint)


def _entropy(shares: np.ndarray) -> float:
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum())
