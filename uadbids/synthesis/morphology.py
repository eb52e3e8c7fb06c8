"""Masks on a tensor's device: grow, shrink, nearness and distance. The grid's edge is no border."""

import torch
from torch import Tensor

from uadbids.synthesis.random_fields import blur, full, half


def dilate(mask: Tensor, voxels: int) -> Tensor:
    """Grow a mask (X, Y, Z) by a cube of so many voxels to each side."""
    return _grown(mask, (voxels,) * 3)


def erode(mask: Tensor, voxels: int) -> Tensor:
    """Shrink a mask by a cube; what lies beyond the grid counts as inside."""
    return ~dilate(~mask, voxels)


def near(mask: Tensor, sigma: float) -> Tensor:
    """Blur a mask, or shares of voxels: 1 deep inside, 0 far from it; `sigma` in voxels."""
    return blur(mask.float()[None, None], (sigma,) * 3)[0, 0]


def near_coarsely(mask: Tensor, sigma: float) -> Tensor:
    """Blur a mask of even sizes at half its resolution; `sigma` in voxels of that."""
    return full(blur(half(mask), (sigma,) * 3), mask.shape)


def distance(mask: Tensor, reach: int) -> Tensor:
    """Voxels from a mask, 0 inside; all that is farther than `reach` is `reach` + 1 away.

    Crosses and cubes in turn, which is a rough ball and fast on a GPU.
    """
    result = torch.full(mask.shape, float(reach + 1), device=mask.device)
    result[mask] = 0
    grown = mask
    for step in range(1, reach + 1):
        if step % 2:
            x, y, z = (_grown(grown, (a == 0, a == 1, a == 2)) for a in range(3))
            grown = x | y | z
        else:
            grown = _grown(grown, (1, 1, 1))
        result[grown & (result > reach)] = step
    return result


def _grown(mask: Tensor, reach: tuple[int, int, int]) -> Tensor:
    """Grow by a box, axis by axis, in shifts that double what they reach."""
    for axis, voxels in enumerate(reach):
        reached, size = 0, mask.shape[axis]
        while reached < min(voxels, size - 1):
            step = min(reached + 1, voxels - reached, size - 1)
            grown = mask.clone()
            grown.narrow(axis, step, size - step).logical_or_(mask.narrow(axis, 0, size - step))
            grown.narrow(axis, 0, size - step).logical_or_(mask.narrow(axis, step, size - step))
            mask, reached = grown, reached + step
    return mask
