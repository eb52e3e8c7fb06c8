"""Lay a scan's grid over a head, sample it slice by slice, add field and noise."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.random_fields import COARSE, between, blur, enlarge, normal

_FINE = 1.0
# How far apart the knots of the coil's field lie.
_COIL_MM = 90.0


@dataclass(frozen=True)
class ScannerConfig:
    """Ranges of an acquisition; lengths in mm."""

    volumetric: float = 0.3  # probability of a 3D acquisition with cubic voxels; else thick slices
    in_plane: Range = (0.7, 1.1)  # voxel size
    thickness: Range = (2.0, 6.0)  # of a slice
    below: Range = (2.0, 25.0)  # space under the brain
    above: Range = (9.0, 25.0)  # over it
    around: Range = (4.0, 30.0)  # around the head
    bias: Range = (0.02, 0.13)  # standard deviation of the log of the coil's field
    noise: Range = (0.015, 0.06)  # standard deviation, relative to white matter


class Pose(NamedTuple):
    """From mm of the scan to voxels of the label map: ``points @ linear + centre``."""

    linear: Tensor
    centre: Tensor


class Grid(NamedTuple):
    """Voxels of a scan, in a frame of mm that turns with the scanner."""

    start: tuple[float, float, float]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    volumetric: bool


def draw_grid(
    brain: Tensor, head: Tensor, pose: Pose, config: ScannerConfig, generator: torch.Generator
) -> Grid:
    """Cover the brain from below to above, and the head in plane, as a radiographer would."""
    volumetric = between((0, 1), generator) < config.volumetric
    in_plane = between(config.in_plane, generator)
    thickness = in_plane if volumetric else between(config.thickness, generator)
    inside, seen = _turned(brain, pose), _turned(head, pose)
    low = float(inside[:, 2].min()) - between(config.below, generator)
    high = float(inside[:, 2].max()) + between(config.above, generator)
    seen = seen[(seen[:, 2] > low) & (seen[:, 2] < high), :2]
    middle = (seen.min(0).values + seen.max(0).values) / 2
    width = float((seen.max(0).values - seen.min(0).values).max())
    width += between(config.around, generator)
    start = (float(middle[0]) - width / 2, float(middle[1]) - width / 2, low)
    across = math.ceil(width / in_plane)
    shape = (across, across, math.ceil((high - low) / thickness))
    return Grid(start, (in_plane, in_plane, thickness), shape, volumetric)


def _turned(where: Tensor, pose: Pose) -> Tensor:
    """Positions (mm of the scan) of a tenth of the voxels of a mask."""
    return (where.nonzero()[::10] - pose.centre) @ torch.linalg.inv(pose.linear)


def sample(anatomy: Tensor, shift: Tensor, pose: Pose, grid: Grid) -> tuple[Tensor, Tensor]:
    """Move the anatomy and average it over the thickness of each slice, in one interpolation."""
    device = anatomy.device
    parts = max(1, round(grid.spacing[2] / _FINE))
    steps = (*grid.spacing[:2], grid.spacing[2] / parts)
    shape = (*grid.shape[:2], grid.shape[2] * parts)
    axes = [
        torch.linspace(a, a + (n - 1) * d, math.ceil((n - 1) * d / COARSE) + 1, device=device)
        for a, d, n in zip(grid.start, steps, shape, strict=True)
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    points = points @ pose.linear + pose.centre
    half = (torch.tensor(anatomy.shape[2:], device=device) - 1) / 2

    def unit(x: Tensor) -> Tensor:
        # grid_sample wants the last axis first.
        return (x / half - 1).flip(-1)

    moves = F.grid_sample(shift, unit(points)[None], padding_mode="border", align_corners=True)
    points = unit(points + moves[0].movedim(0, -1)).movedim(-1, 0)[None]
    where = enlarge(points, shape).movedim(1, -1)
    moved = F.grid_sample(anatomy, where, padding_mode="zeros", align_corners=True)
    if parts > 1:
        moved = F.avg_pool3d(moved, (1, 1, parts))
    return moved[0, 0], moved[0, 1]


def scan(volume: Tensor, grid: Grid, config: ScannerConfig, generator: torch.Generator) -> Tensor:
    """Add the coil's field, the slices' gains and noise of a magnitude image."""
    size = volume.shape
    knots = [
        max(4, math.ceil(n * d / _COIL_MM) + 1) for n, d in zip(size, grid.spacing, strict=True)
    ]
    field = enlarge(normal((1, 1, *knots), generator), [4 * n for n in knots])
    # Smoothing leaves a standard deviation of 0.36.
    field = enlarge(blur(field, (1.5,) * 3), size)[0, 0] / 0.36
    volume = volume * torch.exp(between(config.bias, generator) * field)
    if not grid.volumetric:
        volume = volume * (1 + 0.01 * normal((1, 1, size[2]), generator))
    level = between(config.noise, generator)
    # Most scanners fill up k-space: their noise is coarser than their voxels.
    factor = between((1.0, 1.6), generator)
    drawn = [max(2, round(n / factor)) for n in size[:2]] + [size[2]]
    real, imaginary = level * enlarge(normal((1, 2, *drawn), generator), size)[0]
    return torch.sqrt((volume + real) ** 2 + imaginary**2)
