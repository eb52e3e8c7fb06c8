"""Paint a map of tissues in every contrast that FLAIR may have, wider than scans usually have.

`contrast` gives what is *usual*, for a network that learns what is normal. A network that learns to
find lesions must not take a bright cortex, cerebellum or wall of the ventricles for one: here these
are drawn far beyond what the scans at hand show.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.contrast import near_limbic_nuclei, ventricle_ends
from uadbids.synthesis.coordinates import voxels
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.morphology import dilate, erode, near, near_coarsely
from uadbids.synthesis.random_fields import blur
from uadbids.synthesis.tissues import BRAIN, NAMES, TISSUES, column, is_one_of

# Half the width (voxels) of what lies between the hemispheres: cingulate, medial frontal cortex.
_MEDIAL = 14.0


@dataclass(frozen=True)
class WideContrast:
    """Ranges of brightness, relative to white matter; gains are drawn from 0 or less upwards."""

    cortex: Range = (0.82, 1.34)  # other grey matter follows it in part
    fluid: Range = (0.5, 3.0)  # factor on the usual brightness
    fat: Range = (1.0, 2.8)
    suppressed_fat: Range = (0.15, 0.5)
    suppression: float = 0.4  # probability that fat is suppressed
    limbic: Range = (0.0, 0.2)  # relative gain of insula and limbic cortex
    # Of the cortex between the hemispheres and of the cerebellum, in about half of the heads.
    medial: Range = (-0.02, 0.18)
    cerebellar: Range = (-0.08, 0.18)
    # Standard deviation of smooth differences between regions of the cortex.
    regional: Range = (0.0, 0.09)
    lining: float = 0.25  # largest gain of the ventricles' wall and their caps, in a young head
    lining_of_age: float = 0.35  # what age adds to it
    haze: Range = (0.0, 0.7)  # gain of the wide haze around the ventricles, which has no edge
    septum: Range = (0.0, 0.35)  # gain of septum and fornix
    basal: Range = (0.0, 0.25)  # gain of the basal forebrain and commissures
    callosal: Range = (0.0, 0.4)  # gain of the corpus callosum
    sharpness: Range = (0.35, 0.8)  # standard deviation of the blur of the anatomy (mm)


def paint_wide(tissue: Tensor, ageing: float, config: WideContrast, draws: Draws) -> Tensor:
    """Give every voxel of a tissue map its brightness: at least 0, white matter about 1.

    The map (int64, (X, Y, Z), 1 mm, even sizes) holds places in `NAMES`; ageing goes from 0 (young)
    to 1 (old).
    """
    size = tissue.shape
    image = _levels(ageing, config, draws)[tissue]
    variation = 0.7 * draws.field(size, draws.between((14, 30)))
    variation += 0.7 * draws.field(size, draws.between((3, 5)))
    texture = column("texture").to(tissue.device)[tissue] * draws.between((0.6, 1.5))
    image = image * (1 + texture * variation).clamp_min(0.2)
    image = _regions(image, tissue, config, draws)
    image = _around_ventricles(image, tissue, ageing, config, draws)
    image = _midline(image, tissue, config, draws)
    width = draws.between(config.sharpness)
    return blur(image[None, None], (width,) * 3)[0, 0].clamp_min(0)


def _levels(ageing: float, config: WideContrast, draws: Draws) -> Tensor:
    """Brightness of each tissue; that of white matter is 1."""
    cortex = draws.between(config.cortex)
    levels = {"white": 1.0, "cortex": cortex}
    levels["cerebellar cortex"] = (
        1 + (cortex - 1) * draws.between((0.4, 1.2)) + draws.normal(0, 0.04)
    )
    levels["cerebellar white"] = draws.between((0.9, 1.08))
    for name in ("brain stem", "ventral diencephalon"):
        levels[name] = draws.between((0.82, 1.1))
    for name in ("ventricle", "lower ventricles", "fluid"):
        levels[name] = TISSUES[name].mean * draws.between(config.fluid)
    levels["plexus"] = draws.between((0.6, 1.6))
    for name, tissue in TISSUES.items():
        if name in levels:
            continue
        if name in BRAIN and tissue.mean > 0.6:  # grey matter
            share = draws.between((0.3, 1.1))
            levels[name] = 1 + (cortex - 1) * share + draws.normal(0, 0.07) + tissue.old * ageing
        else:
            drawn = max(-2.0, min(2.0, draws.normal()))
            levels[name] = tissue.mean + tissue.old * ageing + tissue.spread * drawn
    _fat(levels, config, draws)
    return torch.tensor([max(0.0, levels[name]) for name in NAMES], device=draws.device)


def _fat(levels: dict[str, float], config: WideContrast, draws: Draws) -> None:
    dark = draws.chance(config.suppression)
    fat = draws.between(config.suppressed_fat if dark else config.fat)
    for name in ("marrow", "orbit"):
        levels[name] = 0.4 * levels[name] + 0.5 * fat
    levels["soft"] = 0.3 + 0.5 * fat * draws.between((0, 1))
    levels["skin"] = 0.35 + 0.4 * fat * draws.between((0, 1))


def _regions(image: Tensor, tissue: Tensor, config: WideContrast, draws: Draws) -> Tensor:
    """Cortex, cerebellum and white matter differ smoothly from place to place."""
    size = tissue.shape
    cortex = is_one_of(tissue, "cortex")
    limbic = 2.5 * near_limbic_nuclei(tissue) * draws.between(config.limbic)
    regional = draws.between(config.regional) * draws.mirrored(size, draws.between((18, 45)))
    image = image * (1 + cortex * (limbic + regional.clamp(-0.15, 0.22)))
    if draws.chance(0.6):
        image = image * (1 + cortex * _medial(tissue) * draws.between(config.medial))
    cerebellum = is_one_of(tissue, "cerebellar cortex", "cerebellar white")
    whole = draws.between(config.cerebellar) if draws.chance(0.5) else 0.0
    varied = draws.between((0, 0.06)) * draws.mirrored(size, 18)
    image = image * (1 + cerebellum * (whole + varied))
    white = draws.between((0, 0.035)) * draws.mirrored(size, draws.between((18, 40)))
    return image * (1 + is_one_of(tissue, "white") * white)


def _around_ventricles(
    image: Tensor, tissue: Tensor, ageing: float, config: WideContrast, draws: Draws
) -> Tensor:
    """Lining and caps, and haze that fades without an edge, most of it behind."""
    size = tissue.shape
    ventricle = is_one_of(tissue, "ventricle")
    ends = ventricle_ends(tissue)[:, None]
    lining = near_coarsely(ventricle, draws.between((0.5, 0.9)))
    cap = near_coarsely(ventricle, draws.between((2.0, 4.0)))
    patchy = (0.7 + 0.5 * draws.field(size, 12)).clamp(0, 1.5)
    strength = draws.between((0, config.lining + config.lining_of_age * ageing))
    inner = is_one_of(tissue, "white", "thalamus", "caudate", "accumbens")
    image = image + inner * patchy * strength * (lining + 1.2 * ends * cap)
    if draws.chance(0.6):
        wide = near_coarsely(ventricle, draws.between((2.5, 5.0)))
        if draws.chance(0.6) and bool(ventricle.any()):
            rows = torch.arange(size[1], device=tissue.device, dtype=torch.float32)
            front = rows[ventricle.any(0).any(-1)].mean()
            wide = wide * torch.sigmoid((front - rows) / 12)[:, None]
        wide = wide * (0.8 + 0.4 * draws.mirrored(size, draws.between((10, 20)))).clamp(0, 1.6)
        image = image + is_one_of(tissue, "white") * wide * draws.between(config.haze)
    return image


def _midline(image: Tensor, tissue: Tensor, config: WideContrast, draws: Draws) -> Tensor:
    """Callosum; septum and fornix between the ventricles; basal forebrain and commissures."""
    ventricle = is_one_of(tissue, "ventricle")
    if draws.chance(0.5):
        beside = _medial(tissue) * near(ventricle, 3.0).clamp(0, 0.5)
        image = image + is_one_of(tissue, "white") * beside * draws.between(config.callosal)
    if draws.chance(0.7):
        gap = draws.whole(2, 5)
        between = erode(dilate(ventricle, gap), gap) & ~ventricle & ~is_one_of(tissue, "plexus")
        image = image + between * draws.between(config.septum)
    if draws.chance(0.6):
        lower = near(is_one_of(tissue, "lower ventricles"), draws.between((2, 4)))
        patchy = (0.5 + 0.6 * draws.mirrored(tissue.shape, draws.between((6, 14)))).clamp(0, 1.5)
        around = ("white", "ventral diencephalon", "thalamus", "accumbens", "brain stem")
        gain = draws.between(config.basal) * (2.5 * lower).clamp(0, 1) * patchy
        image = image + is_one_of(tissue, *around) * gain
    return image


def _medial(tissue: Tensor) -> Tensor:
    """Be 1 between the hemispheres, which is the middle of the grid, and 0 far from there."""
    x = voxels(tissue.shape, tissue.device)[..., 0]
    return torch.exp(-(((x - (tissue.shape[0] - 1) / 2) / _MEDIAL) ** 2))
