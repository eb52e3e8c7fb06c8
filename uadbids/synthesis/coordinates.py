"""Positions on a grid of voxels, and reading a volume at other positions."""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def voxels(shape: Sequence[int], device: torch.device) -> Tensor:
    """Return the indices of all voxels as floats, (X, Y, Z, 3); shared: not to be changed."""
    return _voxels(tuple(shape), device)


@lru_cache(maxsize=2)
def _voxels(shape: tuple[int, ...], device: torch.device) -> Tensor:
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def middle(shape: Sequence[int], device: torch.device) -> Tensor:
    """Centre of a grid, in voxels."""
    return (torch.tensor(tuple(shape), device=device, dtype=torch.float32) - 1) / 2


def rotation(x: float, y: float, z: float) -> Tensor:
    """Matrix (3, 3) of a turn about an axis; the length of (x, y, z) is the angle in degrees."""
    skew = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return torch.linalg.matrix_exp(skew * (math.pi / 180))


def turned(shape: Sequence[int], linear: Tensor, shift: Tensor, device: torch.device) -> Tensor:
    """Where to look on a grid after a linear move about its middle, (X, Y, Z, 3)."""
    centre = middle(shape, device)
    return (voxels(shape, device) - centre) @ linear.to(device).T + centre + shift.to(device)


def sample_at(parts: Tensor, points: Tensor, mode: str = "bilinear") -> Tensor:
    """Read volumes (C, X, Y, Z) at points (x, y, z, 3) in voxels; 0 beyond the grid."""
    half = middle(parts.shape[1:], parts.device).clamp_min(0.5)
    # grid_sample wants the last axis first.
    where = (points / half - 1).flip(-1)
    return F.grid_sample(parts[None], where[None], mode=mode, align_corners=True)[0]
