"""Healthy heads directly on the template grid, from tissue maps that are aligned with it.

`generate` lays the grid of a scan over a head, and the scan is then preprocessed like any other.
Here both are left out: an aligned tissue map is deformed, turned a little and painted, which takes
a GPU a fraction of a second, and every voxel's tissue is known. `rescan` adds the scanner.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import rotation, sample_at, turned
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.generate import towards
from uadbids.synthesis.morphology import dilate, erode
from uadbids.synthesis.random_fields import blur, half
from uadbids.synthesis.tissues import BRAIN, is_one_of
from uadbids.synthesis.wide_contrast import WideContrast, paint_wide

_VENTRICLES = ("ventricle", "lower ventricles")


@dataclass(frozen=True)
class HeadConfig:
    """Ranges of shape; lengths in mm.

    Parameters
    ----------
    turn : tuple of float
        Standard deviations of the angles about x, y and z (degrees): what alignment leaves.
    size : tuple of float
        Relative size along each axis.
    shift : float
        Standard deviation of the shift along each axis.
    flip : float
        Probability of a left-right flip.
    elastic : tuple of float
        Standard deviation of the smooth displacement.
    ventricles, sulci : tuple of float
        How far the walls of the ventricles and the surface of the brain may move in a young head.
    ventricles_of_age, sulci_of_age : float
        What age adds to the upper limits.
    leak : float
        Probability that the brain mask holds patches of what lies outside.
    contrast : WideContrast
        Brightness.
    """

    turn: tuple[float, float, float] = (3.0, 2.5, 2.5)
    size: Range = (0.88, 1.04)
    shift: float = 2.0
    flip: float = 0.5
    elastic: Range = (0.5, 2.2)
    ventricles: Range = (-1.5, 1.5)
    ventricles_of_age: float = 4.0
    sulci: Range = (-0.8, 0.3)
    sulci_of_age: float = 0.7
    leak: float = 0.35
    contrast: WideContrast = field(default_factory=WideContrast)


class Head(NamedTuple):
    """A healthy head on the template grid, all of shape (X, Y, Z).

    Attributes
    ----------
    image : Tensor
        White matter about 1, before any scanner.
    tissue : Tensor
        Places in `NAMES`, int64.
    mask : Tensor
        What a brain extraction might leave, bool: sulci, cisterns and, at times, too much.
    """

    image: Tensor
    tissue: Tensor
    mask: Tensor


def make_head(tissue: Tensor, config: HeadConfig, draws: Draws) -> Head:
    """Deform an aligned tissue map and paint it.

    Parameters
    ----------
    tissue : Tensor of int, shape (X, Y, Z)
        Places in `NAMES` on the template grid or a part of it; even sizes.
    config : HeadConfig
        Ranges.
    draws : Draws
        Source of all randomness, on the device of the map.

    Returns
    -------
    Head
        Of the shape of the map.
    """
    ageing = draws.between((0, 1)) ** 1.3
    points = _pose(tissue, config, draws) + _displacement(tissue, ageing, config, draws)
    # Numbers of tissues are small, so half-precision would do; nearest keeps them whole.
    moved = sample_at(tissue.float()[None], points, mode="nearest")[0].round().long()
    image = paint_wide(moved, ageing, config.contrast, draws)
    return Head(image, moved, _mask(moved, config, draws))


def _pose(tissue: Tensor, config: HeadConfig, draws: Draws) -> Tensor:
    turn = rotation(*(draws.normal(0, sd) for sd in config.turn))
    linear = turn @ torch.diag(torch.tensor([1 / draws.between(config.size) for _ in range(3)]))
    if draws.chance(config.flip):
        linear[:, 0] *= -1
    shift = torch.tensor([draws.normal(0, config.shift) for _ in range(3)])
    return turned(tissue.shape, linear, shift, tissue.device)


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
    size = tuple(tissue.shape)
    return F.interpolate(move, size=size, mode="trilinear", align_corners=False)[0].movedim(0, -1)


def _mask(tissue: Tensor, config: HeadConfig, draws: Draws) -> Tensor:
    """Brain and its sulci; some tools cut closer, some wider, and some leak."""
    brain = is_one_of(tissue, *BRAIN)
    grown = F.max_pool3d(half(brain), 7, stride=1, padding=3)
    if draws.chance(0.6):
        grown = F.max_pool3d(grown, 5, stride=1, padding=2)
        closed = -F.max_pool3d(-grown, 9, stride=1, padding=4)
    else:
        closed = -F.max_pool3d(-grown, 5, stride=1, padding=2)
    size = tuple(tissue.shape)
    closed = F.interpolate(closed, size=size, mode="trilinear", align_corners=False)[0, 0] > 0.5
    mask = brain | (is_one_of(tissue, "fluid", "vessel") & closed)
    cut = draws.between((0, 1))
    if cut < 0.15:
        mask = erode(mask, 1)
    elif cut < 0.5:
        mask = dilate(mask, 1)
    if draws.chance(config.leak):
        patches = draws.field(size, draws.between((12, 35))) > draws.between((1.2, 2.2))
        mask = mask | (dilate(mask, draws.whole(3, 9)) & patches & (tissue > 0))
    return mask
