"""Paint lesions into healthy volumes: shapes, brightness, texture and the label that belongs to it.

Lesions are painted before blur, bias and noise (`synthesis.rescan`), so that no seam gives them
away. No image is ever shown with its own lesion label: the shapes are those of other people.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import voxels
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.morphology import dilate, distance, near
from uadbids.training.lesion_kinds import (
    Canvas,
    Core,
    Places,
    add_large,
    add_periventricular,
    add_small,
    add_stroke,
)
from uadbids.training.lesion_shapes import LesionShapes, PackedMasks, SmallShapes

# Voxels from a lesion to where its halo ends.
_HALO_REACH = 8


@dataclass(frozen=True)
class PaintingConfig:
    """What is painted, and how often."""

    # Shares of samples without a lesion and of each kind; most periventricular ones come with
    # small ones.
    none: float = 0.22
    small: float = 0.38
    periventricular: float = 0.15
    large: float = 0.18
    stroke: float = 0.07
    most: int = 45  # largest number of small lesions
    radius: Range = (5.0, 30.0)  # of large lesions (mm)
    contrast: float = 0.33  # median brightness over normal white matter
    spread: float = 0.42  # standard deviation of its logarithm
    contrast_limits: Range = (0.12, 0.9)  # what is drawn stays between these
    shapes: SmallShapes = field(default_factory=SmallShapes)  # how small lesions vary
    halo: float = 0.3  # probability that small and periventricular ones lie in a faint halo
    dark: float = 0.2  # probability of dark spots, which are no bright lesions


@dataclass(frozen=True)
class LesionMasks:
    """Published masks to paint from; either may be missing."""

    small: LesionShapes | None = None  # lesions of multiple sclerosis, by themselves
    strokes: PackedMasks | None = None  # masks of strokes on the grid of the volumes


class Painted(NamedTuple):
    """A volume with lesions, and the share of lesion in each voxel (0 to 1)."""

    image: Tensor
    share: Tensor


def paint_lesions(
    image: Tensor, places: Places, masks: LesionMasks, config: PaintingConfig, draws: Draws
) -> Painted:
    """Paint lesions of one kind, or none, into an image (X, Y, Z).

    The draws are on the device of the image. Unless no lesion was drawn, or there is no place for
    one, some voxels are more than half lesion.
    """
    canvas = Canvas(torch.zeros_like(image), torch.ones_like(image))
    kinds = ("none", "small", "periventricular", "large", "stroke")
    weights = [getattr(config, kind) for kind in kinds]
    kind = kinds[draws.weighted(weights)]
    core = None
    if kind != "none":
        contrast = _contrast(config, draws)
        core = _draw(kind, canvas, places, masks, contrast, config, draws)
        _confine(canvas, places)
        if not bool((canvas.share > 0.5).any()):
            _ball(canvas, places, contrast, draws)
        if kind in ("small", "periventricular") and draws.chance(config.halo):
            image = _halo(image, canvas.share, contrast, places, draws)
        image = _blend(image, canvas, core, places, draws)
    return Painted(_dark_spots(image, canvas.share, places, config, draws), canvas.share)


def soft_label(share: Tensor) -> Tensor:
    """Label of each voxel (0 to 1) from the share of lesion in it: steeper about the half."""
    return (1.7 * share - 0.2).clamp(0, 1)


def _contrast(config: PaintingConfig, draws: Draws) -> float:
    low, high = config.contrast_limits
    drawn = math.exp(draws.normal(math.log(config.contrast), config.spread))
    return min(high, max(low, drawn))


def _draw(
    kind: str,
    canvas: Canvas,
    places: Places,
    masks: LesionMasks,
    contrast: float,
    config: PaintingConfig,
    draws: Draws,
) -> Core | None:
    if kind == "stroke" and masks.strokes is not None and len(masks.strokes):
        mask = masks.strokes.mask(draws.whole(0, len(masks.strokes) - 1))
        add_stroke(canvas, mask, contrast, draws)
        return None
    if kind == "large":
        return add_large(canvas, places, contrast, config.radius, draws)
    if kind != "periventricular" or draws.chance(0.7):
        add_small(canvas, places, masks.small, contrast, config.most, config.shapes, draws)
    if kind == "periventricular":
        add_periventricular(canvas, places, contrast, draws)
    return None


def _confine(canvas: Canvas, places: Places) -> None:
    """Keep lesions in tissue; what has replaced tissue may have been fluid before."""
    allowed = places.brain & ~places.ventricles
    tissue = places.tissue | ((canvas.share > 0.5) & allowed)
    canvas.share.mul_(near(tissue, 0.5).clamp(0, 1) * allowed)


def _ball(canvas: Canvas, places: Places, contrast: float, draws: Draws) -> None:
    """Add one lesion that is surely there: a sample with lesions must show one."""
    allowed = places.tissue & places.brain & ~places.ventricles
    for where in (places.white & allowed, allowed):
        for centre in draws.places(where.float(), 1):
            at = torch.tensor(centre, device=draws.device, dtype=torch.float32)
            reach = (voxels(canvas.share.shape, draws.device) - at).norm(dim=-1)
            radius = draws.between((1.5, 4))
            canvas.add(torch.sigmoid((radius - reach) / 0.3) * allowed, 1 + contrast)
            return


def _halo(image: Tensor, share: Tensor, contrast: float, places: Places, draws: Draws) -> Tensor:
    """Brighten what surrounds lesions, as raters see it and leave it out."""
    away = distance(share > 0.5, _HALO_REACH)
    fading = torch.exp(-0.5 * (away / draws.between((1.2, 3.2))) ** 2) * (away <= _HALO_REACH)
    gain = draws.between((0.15, 0.5)) * contrast * places.reference
    return image + gain * fading * (places.tissue & places.brain)


def _blend(
    image: Tensor, canvas: Canvas, core: Core | None, places: Places, draws: Draws
) -> Tensor:
    """Mix image and lesion by the share: partial volume."""
    size, reference = image.shape, places.reference
    texture = 1 + draws.between((0, 0.12)) * draws.field(size, draws.between((2.5, 7)))
    lesion = reference * canvas.level * texture.clamp(0.7, 1.4)
    if draws.chance(0.6):  # what lies below stays visible
        grain = (image / reference - 1).clamp(-0.4, 0.4)
        lesion = lesion + reference * draws.between((0.2, 0.7)) * grain
    if draws.chance(0.8):  # in bright tissue, too, a lesion is brighter
        lesion = torch.maximum(lesion, image * (1 + 0.5 * (canvas.level - 1)))
    image = torch.lerp(image, lesion, canvas.share)
    if core is not None:
        image = image + core.share * (core.brightness - image)
    return image


def _dark_spots(
    image: Tensor, share: Tensor, places: Places, config: PaintingConfig, draws: Draws
) -> Tensor:
    """Add holes and the like."""
    if not draws.chance(config.dark):
        return image
    for centre in draws.places(places.tissue.float(), draws.whole(1, 3)):
        radius = draws.between((1.5, 10))
        at = torch.tensor(centre, device=image.device, dtype=torch.float32)
        edge = (voxels(image.shape, image.device) - at).norm(dim=-1) / radius
        edge = edge + 0.25 * draws.field(image.shape, max(3.0, radius))
        inside = torch.sigmoid((1 - edge) / 0.2) * (1 - share)
        image = image + inside * (draws.between((0.15, 0.8)) * places.reference - image)
    return image


def leak(image: Tensor, mask: Tensor, reference: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Let the brain mask hold scalp or marrow, beyond a dark line or without one.

    Image and brain mask (bool), (X, Y, Z), are returned with these patches; the reference is the
    brightness of normal white matter.
    """
    size = image.shape
    patches = draws.field(size, draws.between((12, 35)))
    outside = dilate(mask, draws.whole(3, 8)) & ~mask
    if draws.chance(0.6):
        outside = outside & ~dilate(mask, draws.whole(1, 2))
    shell = outside & (patches > draws.between((1.0, 2.0)))
    grain = draws.between((0.05, 0.35)) * draws.field(size, draws.between((2.5, 6)))
    bright = reference * (draws.between((0.6, 2.2)) * (1 + grain)).clamp(0.2, 2.5)
    line = dilate(shell, 2) & ~mask & ~shell
    dark = torch.full_like(image, reference * draws.between((0.05, 0.4)))
    return torch.where(shell, bright, torch.where(line, dark, image)), mask | shell | line


def another_contrast(image: Tensor, reference: float, draws: Draws) -> Tensor:
    """Bend intensities by a monotone curve through 0 and white matter."""
    x = (image / reference).clamp_min(0)
    if draws.chance(0.6):
        x = x ** math.exp(draws.normal(0, 0.18))
    return reference * torch.where(x > 1, 1 + (x - 1) * math.exp(draws.normal(0, 0.25)), x)
