"""Healthy FLAIR scans from label maps of whole heads: shape, contrast and scanner are drawn.

The idea of learning from images painted over label maps is that of SynthSeg (Billot et al. 2023);
here the contrast is that of FLAIR alone, since what is *usual* on FLAIR is to be learnt.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.contrast import PaintConfig, paint
from uadbids.synthesis.random_fields import COARSE, aged, between, blur, full, half, smooth_field
from uadbids.synthesis.scanner import Pose, ScannerConfig, draw_grid, sample, scan
from uadbids.synthesis.tissues import BRAIN, is_one_of, tissue_of

VENTRICLES = ("ventricle", "plexus")


@dataclass(frozen=True)
class SynthesisConfig:
    """Ranges that every scan draws from; lengths in mm, intensities relative to white matter."""

    flip: float = 0.5  # probability of a left-right flip
    rotation: float = 10.0  # largest angle about each axis (degrees)
    scale: float = 0.08  # largest relative change of each axis
    elastic: float = 1.35  # standard deviation of the smooth displacement
    ageing: Range = (0.0, 1.0)  # 0 is young, 1 is old
    ventricle_growth: Range = (-1.5, 4.5)  # how far the walls move, young to old
    sulcus_growth: Range = (-0.7, 0.8)  # the same of the surface of the brain
    paint: PaintConfig = field(default_factory=PaintConfig)
    scanner: ScannerConfig = field(default_factory=ScannerConfig)


class Synthetic(NamedTuple):
    """A scan and what is known of it."""

    # Float32 (X, Y, Z), at least 0, white matter about 1; axes point right, front, up.
    volume: Tensor
    brain: Tensor  # bool, on the same grid
    spacing: tuple[float, float, float]  # voxel size (mm)
    ageing: float  # the draw, 0 (young) to 1 (old)


@torch.inference_mode()
def synthesize(labels: Tensor, config: SynthesisConfig, generator: torch.Generator) -> Synthetic:
    """Make one healthy scan, on a grid of its own, from one label map.

    Labels (int, (X, Y, Z)) have voxels of 1 mm, axes that point right, front, up, and are on the
    device of the generator, which is the source of all randomness. ValueError for an unknown label,
    or a map without a brain.
    """
    tissue = _crop(tissue_of(labels))
    ageing = between(config.ageing, generator)
    pose = _pose(tissue, config, generator)
    grid = draw_grid(is_one_of(tissue, *BRAIN), tissue > 0, pose, config.scanner, generator)
    shift = _displacement(tissue, ageing, config, generator)
    anatomy = torch.stack([paint(tissue, ageing, config.paint, generator), _brain(tissue)])[None]
    volume, brain = sample(anatomy, shift, pose, grid)
    volume = scan(volume, grid, config.scanner, generator)
    return Synthetic(volume, brain > 0.5, grid.spacing, ageing)


def _crop(tissue: Tensor) -> Tensor:
    """Cut to the head without the neck, to even sizes."""
    brain = is_one_of(tissue, *BRAIN).nonzero()
    if not len(brain):
        raise ValueError("there is no brain in the label map")
    head = (tissue > 0).nonzero()
    low, high = head.min(0).values - 2, head.max(0).values + 3
    low[2] = torch.maximum(low[2], brain[:, 2].min() - 60)
    low, high = low.clamp_min(0), torch.minimum(high, high.new_tensor(tissue.shape))
    x, y, z = (
        slice(a, a + 2 * ((b - a) // 2)) for a, b in zip(low.tolist(), high.tolist(), strict=True)
    )
    return tissue[x, y, z]


def _pose(tissue: Tensor, config: SynthesisConfig, generator: torch.Generator) -> Pose:
    x, y, z = (math.radians(config.rotation) * between((-1, 1), generator) for _ in range(3))
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], device=tissue.device)
    factors = [1 + config.scale * between((-1, 1), generator) for _ in range(3)]
    if between((0, 1), generator) < config.flip:
        factors[0] = -factors[0]
    linear = torch.matrix_exp(skew) * torch.tensor(factors, device=tissue.device)
    brain = is_one_of(tissue, *BRAIN).nonzero()
    return Pose(linear, (brain.min(0).values + brain.max(0).values) / 2)


def _displacement(
    tissue: Tensor, ageing: float, config: SynthesisConfig, generator: torch.Generator
) -> Tensor:
    """Where to look instead, in mm, shape (1, 3, X/2, Y/2, Z/2).

    Ventricles and sulci grow because their surroundings look towards them.
    """
    ventricles = half(is_one_of(tissue, *VENTRICLES))
    around = half(~is_one_of(tissue, *BRAIN))
    elastic = blur(smooth_field((1, 3, *ventricles.shape[2:]), 16.0, generator), (4.0,) * 3)
    # Smoothing leaves a standard deviation of 0.67.
    elastic = elastic / 0.67
    growth = aged(config.ventricle_growth, ageing, generator)
    opening = aged(config.sulcus_growth, ageing, generator)
    return (
        config.elastic * elastic
        + growth * towards(ventricles, 8.0)
        + opening * towards(around, 2.0)
    )


def towards(mask: Tensor, reach: float) -> Tensor:
    """Point to a mask of half the resolution, with arrows that are 1 long where it is steepest."""
    smooth = blur(mask, (reach / COARSE,) * 3)[0, 0]
    slope = torch.stack(torch.gradient(smooth))[None]
    return slope / slope.norm(dim=1).max().clamp_min(1e-6)


def _brain(tissue: Tensor) -> Tensor:
    """Brain with its sulci and 2 mm of fluid, which is what brain extraction tools leave."""
    brain = is_one_of(tissue, *BRAIN)
    # 6 mm out, 4 mm back: sulci and cisterns close, and a margin stays.
    grown = F.max_pool3d(half(brain), 7, stride=1, padding=3)
    closed = -F.max_pool3d(-grown, 5, stride=1, padding=2)
    inner = is_one_of(tissue, "fluid", "vessel")
    return (brain | (inner & (full(closed, tissue.shape) > 0.5))).float()
