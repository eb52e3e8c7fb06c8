"""Random numbers and smooth fields from one generator, on its device."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range

COARSE = 2.0
"""Voxel size (mm) of smooth fields over a map of 1 mm."""


def between(limits: Range, generator: torch.Generator) -> float:
    """Draw one number, uniform between two limits."""
    low, high = limits
    # Not in single precision: a range of no width must give that very number.
    return low + (high - low) * float(uniform((1,), (0.0, 1.0), generator))


def aged(limits: Range, ageing: float, generator: torch.Generator) -> float:
    """Go from the first limit to the second with age, give or take a fifth of the way."""
    low, high = limits
    place = ageing + 0.2 * float(normal((1,), generator))
    return low + (high - low) * min(1.0, max(0.0, place))


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw a tensor from the standard normal distribution."""
    return torch.randn(tuple(shape), generator=generator, device=generator.device)


def uniform(shape: Sequence[int], limits: Range, generator: torch.Generator) -> Tensor:
    """Draw a tensor, uniform between two limits."""
    low, high = limits
    return low + (high - low) * torch.rand(
        tuple(shape), generator=generator, device=generator.device
    )


def smooth_field(shape: Sequence[int], step: float, generator: torch.Generator) -> Tensor:
    """Draw fields of mean 0 and about unit variance, smooth over `step` voxels.

    The shape is (B, C, X, Y, Z); knots lie `step` voxels apart.
    """
    size = shape[2:]
    knots = [max(2, math.ceil(n / step) + 1) for n in size]
    # Linear enlargement in three axes leaves about 0.3 of the variance of its knots.
    return enlarge(normal((*shape[:2], *knots), generator), size) / math.sqrt(0.3)


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate linearly, outermost samples on outermost samples.

    Small matrix products, one for each axis, are faster than ``interpolate``.
    """
    to_x, to_y, to_z = (
        F.interpolate(torch.eye(n, device=x.device)[None], m, mode="linear", align_corners=True)[0]
        for n, m in zip(x.shape[2:], size, strict=True)
    )
    planes = to_y.mT @ (x @ to_z)
    return (to_x.mT @ planes.flatten(3)).unflatten(3, planes.shape[3:])


def blur(x: Tensor, sigma: Sequence[float]) -> Tensor:
    """Convolve (B, C, X, Y, Z) with a Gaussian; `sigma` in voxels, one for each axis."""
    for axis, width in enumerate(sigma):
        reach = math.ceil(2.5 * width)
        if reach < 1:
            continue
        offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
        kernel = torch.exp(-0.5 * (offsets / width) ** 2)
        shape, padding = [1] * 3, [0] * 3
        shape[axis], padding[axis] = len(kernel), reach
        kernel = (kernel / kernel.sum()).view(1, 1, *shape).repeat(x.shape[1], 1, 1, 1, 1)
        x = F.conv3d(x, kernel, padding=tuple(padding), groups=x.shape[1])
    return x


def half(mask: Tensor) -> Tensor:
    """Turn a mask (X, Y, Z) of even sizes into shares at half the resolution, (1, 1, ...)."""
    return F.avg_pool3d(mask.float()[None, None], 2)


def full(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bring the result of `half` back to (X, Y, Z), or a field of vectors to (C, X, Y, Z)."""
    found = F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=False)[0]
    return found.squeeze(0)
