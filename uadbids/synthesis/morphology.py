"""Masks on a tensor's device: grow, shrink, nearness and distance. The grid's edge is no border."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.synthesis.random_fields import blur, full, half


def dilate(mask: Tensor, voxels: int) -> Tensor:
    """Grow a mask (X, Y, Z) by a cube of so many voxels to each side."""
    return _maximum(mask.float()[None, None], (voxels,) * 3)[0, 0] > 0.5


def erode(mask: Tensor, voxels: int) -> Tensor:
    """Shrink a mask by a cube; what lies beyond the grid counts as inside."""
    return ~dilate(~mask, voxels)


def near(mask: Tensor, sigma: float) -> Tensor:
    """Blur a mask: 1 deep inside, 0 far from it; `sigma` in voxels."""
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
    grown = mask.float()[None, None]
    for step in range(1, reach + 1):
        if step % 2:
            along = [_maximum(grown, (1 * (a == 0), 1 * (a == 1), 1 * (a == 2))) for a in range(3)]
            grown = torch.stack(along).amax(0)
        else:
            grown = _maximum(grown, (1, 1, 1))
        result[(grown[0, 0] > 0.5) & (result > reach)] = step
    return result


def _maximum(x: Tensor, reach: tuple[int, int, int]) -> Tensor:
    """Maximum over a box, axis by axis: as one pass over the box, in a fraction of the time."""
    for axis, voxels in enumerate(reach):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * voxels + 1, voxels
        if voxels:
            x = F.max_pool3d(x, tuple(size), stride=1, padding=tuple(padding))
    return x
