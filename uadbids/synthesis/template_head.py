"""Healthy heads directly on the template grid, from tissue maps that are aligned with it.

`generate` lays the grid of a scan over a head, and the scan is then preprocessed like any other.
Here both are left out: an aligned tissue map is deformed, turned a little and painted, which takes
a GPU a fraction of a second, and every voxel's tissue is known. `rescan` adds the scanner.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import sample_at
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.generate import towards
from uadbids.synthesis.morphology import dilate, erode
from uadbids.synthesis.random_fields import blur, full, half
from uadbids.synthesis.tissues import BRAIN, is_one_of
from uadbids.synthesis.wide_contrast import WideContrast, paint_wide

_VENTRICLES = ("ventricle", "lower ventricles")


@dataclass(frozen=True)
class HeadConfig:
    """Ranges of shape; lengths in mm."""

    # Standard deviations of the angles about x, y and z (degrees): what alignment leaves.
    turn: tuple[float, float, float] = (3.0, 2.5, 2.5)
    size: Range = (0.88, 1.04)  # relative, along each axis
    shift: float = 2.0  # standard deviation of the shift along each axis
    flip: float = 0.5  # probability of a left-right flip
    elastic: Range = (0.5, 2.2)  # standard deviation of the smooth displacement
    # How far the walls of the ventricles and the surface of the brain may move in a young head,
    # and what age adds to the upper limits.
    ventricles: Range = (-1.5, 1.5)
    ventricles_of_age: float = 4.0
    sulci: Range = (-0.8, 0.3)
    sulci_of_age: float = 0.7
    leak: float = 0.35  # probability that the brain mask holds patches of what lies outside
    contrast: WideContrast = field(default_factory=WideContrast)  # brightness


class Head(NamedTuple):
    """A healthy head on the template grid, all of shape (X, Y, Z)."""

    image: Tensor  # white matter about 1, before any scanner
    tissue: Tensor  # places in `NAMES`, int64
    mask: Tensor  # what a brain extraction might leave, bool: sulci, cisterns, at times too much


def make_head(tissue: Tensor, config: HeadConfig, draws: Draws) -> Head:
    """Deform an aligned tissue map and paint it.

    The map (int, (X, Y, Z), even sizes) holds places in `NAMES` on the template grid or a part of
    it; the draws are on its device.
    """
    ageing = draws.between((0, 1)) ** 1.3
    points = draws.pose(
        tissue.shape, turn=config.turn, size=config.size, flip=config.flip, shift=config.shift
    )
    points = points + _displacement(tissue, ageing, config, draws)
    # Numbers of tissues are small, so half-precision would do; nearest keeps them whole.
    moved = sample_at(tissue.float()[None], points, mode="nearest")[0].round().long()
    image = paint_wide(moved, ageing, config.contrast, draws)
    return Head(image, moved, _mask(moved, config, draws))


def _displacement(tissue: Tensor, ageing: float, config: HeadConfig, draws: Draws) -> Tensor:
    """Where to look instead, in voxels, (X, Y, Z, 3)."""
    ventricles = half(is_one_of(tissue.long(), *_VENTRICLES))
    around = half(~is_one_of(tissue.long(), *BRAIN))
    elastic = draws.fields(3, ventricles.shape[2:], draws.between((8, 16)))[None]
    low, high = config.ventricles
    growth = draws.between((low, high + config.ventricles_of_age * ageing))
    low, high = config.sulci
    opening = draws.between((low, high + config.sulci_of_age * ageing))
    move = (
        draws.between(config.elastic) * blur(elastic, (2.0,) * 3)
        + growth * towards(ventricles, 8.0)
        + opening * towards(around, 2.0)
    )
    return full(move, tissue.shape).movedim(0, -1)


def _mask(tissue: Tensor, config: HeadConfig, draws: Draws) -> Tensor:
    """Brain and its sulci; some tools cut closer, some wider, and some leak."""
    brain = is_one_of(tissue, *BRAIN)
    grown = F.max_pool3d(half(brain), 7, stride=1, padding=3)
    if draws.chance(0.6):
        grown = F.max_pool3d(grown, 5, stride=1, padding=2)
        closed = -F.max_pool3d(-grown, 9, stride=1, padding=4)
    else:
        closed = -F.max_pool3d(-grown, 5, stride=1, padding=2)
    inner = is_one_of(tissue, "fluid", "vessel")
    mask = brain | (inner & (full(closed, tissue.shape) > 0.5))
    cut = draws.between((0, 1))
    if cut < 0.15:
        mask = erode(mask, 1)
    elif cut < 0.5:
        mask = dilate(mask, 1)
    if draws.chance(config.leak):
        patches = draws.field(tissue.shape, draws.between((12, 35))) > draws.between((1.2, 2.2))
        mask = mask | (dilate(mask, draws.whole(3, 9)) & patches & (tissue > 0))
    return mask
