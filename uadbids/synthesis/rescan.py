"""Another acquisition of a volume on the template grid: thick slices, gains, noise, residual bias.

`scanner` lays the grid of a scan over a head that moves. Here a volume and what is known of it
are sampled in a rotated frame and brought back in one go, as registration does with a scan.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import middle, rotation, sample_at, voxels
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.random_fields import blur


@dataclass(frozen=True)
class RescanConfig:
    """Ranges of an acquisition."""

    # Probability that nothing but bias is added: real scans have been acquired once.
    untouched: float = 0.0
    cubic: float = 0.3  # probability of cubic voxels
    thickness: Range = (1.5, 7.5)  # of slices otherwise (mm)
    fine: Range = (0.9, 1.25)  # in-plane voxel size of most acquisitions (mm)
    coarse: Range = (1.2, 1.6)  # and of the rest
    axial: float = 0.82  # probability of axial slices; else coronal or sagittal ones
    # Standard deviations of the frame's angles about x, y and z (degrees).
    turn: tuple[float, float, float] = (7.0, 2.5, 2.5)
    gain: float = 0.025  # standard deviation of the drawn strength of gains of slices
    noise: Range = (0.01, 0.09)  # standard deviation, relative to white matter
    bias: Range = (0.0, 0.07)  # standard deviation of the log of the field that correction leaves


REAL = RescanConfig(untouched=0.5, thickness=(1.5, 5.0))
"""For real scans, which have noise and slices of their own."""


def rescan(parts: Tensor, config: RescanConfig, draws: Draws) -> Tensor:
    """Acquire a volume again, and bring it back to its grid, (C, X, Y, Z).

    First of the parts is the image (white matter about 1), which alone gets noise and bias; then
    follows what shall be sampled with it, such as masks.
    """
    out = parts.clone() if draws.chance(config.untouched) else _acquired(parts, config, draws)
    field = draws.field(parts.shape[1:], draws.between((35, 90)))
    out[0] *= torch.exp(draws.between(config.bias) * field)
    return out


def _acquired(parts: Tensor, config: RescanConfig, draws: Draws) -> Tensor:
    shape, device = parts.shape[1:], parts.device
    spacing, axis = _spacing(config, draws)
    spread = torch.tensor(spacing, device=device)
    size = [math.ceil(n / mm) + 2 for n, mm in zip(shape, spacing, strict=True)]
    turn = rotation(*(draws.normal(0, sd) for sd in config.turn)).to(device)
    centre = middle(shape, device)
    # Slices are averaged over about one sample a mm.
    per_slice = max(1, round(spacing[axis]))
    finer = list(size)
    finer[axis] *= per_slice
    steps = spread.clone()
    steps[axis] /= per_slice
    points = ((voxels(finer, device) - middle(finer, device)) * steps) @ turn.T + centre
    low = sample_at(parts, points)
    if per_slice > 1:
        window = [1, 1, 1]
        window[axis] = per_slice
        low = F.avg_pool3d(low, tuple(window))
    if spacing[axis] > 1.2 and draws.chance(0.5):
        slices = [1, 1, 1]
        slices[axis] = size[axis]
        low[0] *= 1 + abs(draws.normal(0, config.gain)) * draws.noise(slices)
    low[0] = _with_noise(low[0], axis, config, draws)
    back = ((voxels(shape, device) - centre) @ turn) / spread + middle(size, device)
    return sample_at(low, back)


def _spacing(config: RescanConfig, draws: Draws) -> tuple[list[float], int]:
    """Voxel size, and the axis across the slices."""
    thickness = 1.0 if draws.chance(config.cubic) else draws.between(config.thickness)
    in_plane = draws.between(config.fine if draws.chance(0.7) else config.coarse)
    axis = 2 if draws.chance(config.axial) else draws.whole(0, 1)
    spacing = [in_plane] * 3
    spacing[axis] = thickness if thickness > 1.2 else in_plane
    return spacing, axis


def _with_noise(image: Tensor, axis: int, config: RescanConfig, draws: Draws) -> Tensor:
    """Noise of a magnitude image; that of scanners which fill up k-space is coarse in plane."""
    noise = draws.log_between(config.noise) * draws.noise((2, *image.shape))
    if draws.chance(0.5):
        width = [0.6, 0.6, 0.6]
        width[axis] = 0.0
        # Smoothing takes about that much of its strength.
        noise = 1.6 * blur(noise[None], width)[0]
    return torch.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)
