"""Paint a map of tissues as FLAIR shows a healthy head."""

from dataclasses import dataclass

import torch
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.morphology import near_coarsely
from uadbids.synthesis.random_fields import aged, between, blur, normal, smooth_field
from uadbids.synthesis.tissues import BRAIN, NAMES, column, is_one_of

_DEEP = ("putamen", "amygdala", "hippocampus", "accumbens", "ventricle")


@dataclass(frozen=True)
class PaintConfig:
    """Ranges of brightness, relative to white matter."""

    contrast: Range = (0.6, 1.1)  # factor on the difference of all brain tissue from white matter
    lining: Range = (0.15, 0.8)  # gain of white matter at the wall of the ventricles, young to old
    limbic: Range = (0.0, 0.16)  # gain of insula, cingulate and medial temporal cortex
    fat: Range = (1.3, 2.6)
    suppressed_fat: Range = (0.15, 0.5)
    suppression: float = 0.35  # probability that fat is suppressed
    sharpness: Range = (0.35, 0.7)  # standard deviation of the blur of the anatomy (mm)


def paint(tissue: Tensor, ageing: float, config: PaintConfig, generator: torch.Generator) -> Tensor:
    """Give every voxel of a tissue map its brightness."""
    size = tissue.shape
    image = _means(ageing, config, generator).to(tissue.device)[tissue]
    variation = 0.75 * smooth_field((1, 1, *size), 20.0, generator)[0, 0]
    variation += 0.65 * smooth_field((1, 1, *size), 3.5, generator)[0, 0]
    image *= (1 + column("texture").to(tissue.device)[tissue] * variation).clamp_min(0.2)
    image += is_one_of(tissue, "white") * _lining(tissue, ageing, config, generator)
    limbic = 2.5 * near_limbic_nuclei(tissue)
    image += is_one_of(tissue, "cortex") * limbic * between(config.limbic, generator)
    image = _fat(image, tissue, config, generator)
    width = between(config.sharpness, generator)
    return blur(image[None, None], (width,) * 3)[0, 0].clamp_min(0)


def near_limbic_nuclei(tissue: Tensor) -> Tensor:
    """Insula, cingulate and limbic cortex have no labels: they are the cortex near these nuclei."""
    return near_coarsely(is_one_of(tissue, *_DEEP), 5.0)


def ventricle_ends(tissue: Tensor) -> Tensor:
    """Rows (Y,) from front to back: 0 at the middle of the ventricles, 1 at their ends."""
    rows = torch.arange(tissue.shape[1], device=tissue.device, dtype=torch.float32)
    found = rows[is_one_of(tissue, "ventricle").any(0).any(-1)]
    if len(found) < 2:  # there is nothing to cap
        found = rows
    middle, length = found.mean(), found.std() + 1
    return (((rows - middle) / length).abs() - 1).clamp(0, 1)


def _means(ageing: float, config: PaintConfig, generator: torch.Generator) -> Tensor:
    mean = (column("mean") + ageing * column("old")).to(generator.device)
    # Scanners shift all tissues together, and each a little by itself.
    drawn = 0.7 * normal((1,), generator) + 0.7 * normal(mean.shape, generator)
    mean = mean + column("spread").to(generator.device) * drawn.clamp(-2, 2)
    # All of the brain but its fluid.
    tissue = torch.tensor([name in BRAIN for name in NAMES], device=mean.device) & (mean > 0.6)
    # Contrast falls with age, and depends on the sequence.
    contrast = between(config.contrast, generator) * (1.05 - 0.1 * ageing)
    return torch.where(tissue, 1 + contrast * (mean - 1), mean).clamp_min(0)


def _lining(
    tissue: Tensor, ageing: float, config: PaintConfig, generator: torch.Generator
) -> Tensor:
    """Thin bright lining along the ventricles, thicker caps at their ends: usual at any age."""
    ventricles = is_one_of(tissue, "ventricle")
    lining, cap = near_coarsely(ventricles, 0.9), near_coarsely(ventricles, 2.0)
    ends = ventricle_ends(tissue)[:, None]
    patchy = (0.6 + 0.5 * smooth_field((1, 1, *tissue.shape), 12.0, generator)[0, 0]).clamp(0, 1.5)
    strength = aged(config.lining, ageing, generator)
    return strength * patchy * (0.8 * lining + ends * cap)


def _fat(image: Tensor, tissue: Tensor, config: PaintConfig, generator: torch.Generator) -> Tensor:
    """Turn the outer soft tissue into fat, and marrow too; deeper down lie muscles."""
    dark = between((0, 1), generator) < config.suppression
    fat = between(config.suppressed_fat if dark else config.fat, generator)
    outside = near_coarsely(is_one_of(tissue, "air", "skin"), 3.0)
    strands = smooth_field((1, 1, *tissue.shape), 6.0, generator)[0, 0]
    share = torch.sigmoid((outside - 0.17 + 0.03 * strands) / 0.03)
    grain = 1 + 0.07 * strands
    soft = image + share * (fat * grain - image)
    image = torch.where(is_one_of(tissue, "soft"), soft, image)
    marrow = is_one_of(tissue, "marrow")
    return torch.where(marrow, image * (0.3 + 0.5 * fat), image)
