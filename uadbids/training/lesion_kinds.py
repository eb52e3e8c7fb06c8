"""Kinds of lesions, drawn onto a canvas: small ones, periventricular caps, large ones, strokes."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import rotation, sample_at, turned, voxels
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.morphology import dilate, distance, erode, near
from uadbids.training.lesion_shapes import BOX, LesionShapes, SmallShapes, small_lesions

# Ventricles of fewer voxels are remnants: nothing is painted around them.
_FEW_VOXELS = 60
_CAP_REACH = 14

Place = tuple[int, int, int]


class Canvas(NamedTuple):
    """Lesions of one volume, (X, Y, Z), before they are painted; changed in place."""

    share: Tensor  # of lesion in each voxel, 0 to 1
    level: Tensor  # its brightness relative to normal white matter

    def add(self, share: Tensor, level: float, box: tuple[slice, ...] = ()) -> None:
        """Put a lesion where it has more of a voxel than those before."""
        mine, its = self.share[box], self.level[box]
        its.copy_(torch.where(share > mine, torch.full_like(its, level), its))
        mine.copy_(torch.maximum(mine, share))


@dataclass(frozen=True)
class Places:
    """Where lesions may lie in a volume; bool, shape (X, Y, Z)."""

    white: Tensor  # white matter
    deep: Tensor  # white matter and deep grey matter
    ventricles: Tensor  # their fluid
    tissue: Tensor  # brain that is not fluid
    brain: Tensor  # brain mask
    frequency: Tensor | None  # how often lesions of multiple sclerosis lie in each voxel, 0 or more
    reference: float  # brightness of normal white matter


class Core(NamedTuple):
    """Necrosis or enhancement inside a large lesion."""

    share: Tensor  # of each voxel
    brightness: float


def add_small(
    canvas: Canvas,
    places: Places,
    shapes: LesionShapes | None,
    contrast: float,
    most: int,
    config: SmallShapes,
    draws: Draws,
) -> None:
    """Add one to `most` small lesions, the larger part where such lesions occur."""
    count = max(1, int(draws.log_between((1, most))))
    centres = _centres(places, count, draws)
    if not centres:
        return
    boxes = small_lesions(len(centres), shapes, draws.between((0.65, 1.5)), config, draws)
    for box, centre in zip(boxes, centres, strict=True):
        _paste(canvas, box, centre, 1 + contrast * math.exp(draws.normal(0, 0.3)))


def _centres(places: Places, count: int, draws: Draws) -> list[Place]:
    white = places.white.float()
    usual = white
    if places.frequency is not None:
        usual = white * (places.frequency + 0.02 * places.frequency.max())
    shares = (
        (usual, 0.5), (white, 0.27), (places.deep.float(), 0.15), (places.tissue.float(), 0.08)
    )  # fmt: skip
    found: list[Place] = []
    for density, share in shares:
        expected = count * share + draws.between((0, 1)) - 0.5
        some = round(expected) if count > 2 else int(draws.chance(share))
        found += draws.places(density, some)
    draws.shuffle(found)
    return found[:count] or draws.places(white, 1)


def _paste(canvas: Canvas, lesion: Tensor, centre: Place, level: float) -> None:
    """Lay a box over the canvas; what hangs over its edge is cut off."""
    starts = [c - BOX // 2 for c in centre]
    sizes = canvas.share.shape
    target = tuple(slice(max(0, a), min(n, a + BOX)) for a, n in zip(starts, sizes, strict=True))
    source = tuple(slice(t.start - a, t.stop - a) for t, a in zip(target, starts, strict=True))
    part = lesion[source]
    canvas.add(part * (part > 0.02), level, target)


def add_periventricular(canvas: Canvas, places: Places, contrast: float, draws: Draws) -> None:
    """Add caps and confluent lesions around the ventricles, and at times patches farther away."""
    size = canvas.share.shape
    if int(places.ventricles.sum()) > _FEW_VOXELS:
        away = distance(places.ventricles, _CAP_REACH)
        edge = away / draws.between((1.8, 7)) + draws.between((-0.3, 0.6))
        edge = edge + 0.5 * draws.field(size, draws.between((5, 14)))
        if draws.chance(0.5):
            edge = edge - 0.4 * draws.mirrored(size, 20)
        inside = dilate(places.white, 1) if draws.chance(0.8) else places.white | places.deep
        inside = inside & ~places.ventricles & (away <= _CAP_REACH)
        share = near(torch.sigmoid((1 - edge) / 0.2) * inside, 0.6)
        canvas.add(share, 1 + max(0.2, contrast * draws.between((0.7, 1.2))))
    if draws.chance(0.4):
        field = draws.field(size, draws.between((6, 16)))
        patches = torch.sigmoid((field - draws.between((1.3, 2.1))) / 0.15)
        share = near(patches * erode(places.white, 1), 0.7)
        canvas.add(share, 1 + max(0.18, contrast * draws.between((0.7, 1.1))))


def add_large(
    canvas: Canvas, places: Places, contrast: float, radius: Range, draws: Draws
) -> Core | None:
    """Add a mass with oedema, seldom two; the core of the last one, if it has one."""
    core = None
    for _ in range(1 if draws.chance(0.8) else 2):
        where = places.white if draws.chance(0.7) else places.tissue
        centre = draws.places(where.float(), 1)
        if centre:
            found = _mass(canvas, places, centre[0], contrast, draws.log_between(radius), draws)
            core = found or core
    return core


def _mass(
    canvas: Canvas, places: Places, centre: Place, contrast: float, radius: float, draws: Draws
) -> Core | None:
    size, device = canvas.share.shape, draws.device
    radii = [min(42.0, max(4.0, radius * math.exp(draws.normal(0, 0.25)))) for _ in range(3)]
    turn = rotation(*(draws.between((0, 180)) for _ in range(3))).to(device)
    offset = voxels(size, device) - torch.tensor(centre, device=device, dtype=torch.float32)
    scaled = (offset @ turn) / torch.tensor(radii, device=device)
    edge = scaled.norm(dim=-1) + 0.1 * draws.field(size, max(3.0, 0.25 * radius))
    coarse = max(3.0, radius * draws.between((0.35, 0.9)))
    edge = edge + draws.between((0.1, 0.35)) * draws.field(size, coarse)
    share = torch.sigmoid((1 - edge) / draws.between((0.05, 0.22)))
    if draws.chance(0.6):  # oedema keeps to white matter
        inside = near(places.white | places.deep, 1.0)
        share = share * (draws.between((0, 0.6)) + draws.between((0.7, 1)) * inside).clamp(0, 1)
    canvas.add(share, 1 + max(0.12, contrast * draws.between((0.8, 1.6))))
    if not draws.chance(0.5):
        return None
    shift = torch.tensor([draws.normal(0, 0.25) for _ in range(3)], device=device)
    inner = ((scaled - shift) / draws.between((0.2, 0.65))).norm(dim=-1)
    inner = inner + 0.25 * draws.field(size, max(3.0, 0.4 * radius))
    dark_to_bright = draws.between((0.15, 1.5)) * places.reference
    return Core(torch.sigmoid((1 - inner) / 0.12) * share, dark_to_bright)


def add_stroke(canvas: Canvas, mask: Tensor, contrast: float, draws: Draws) -> None:
    """Add a stroke of a published mask (on the grid of the canvas), moved by some millimetres."""
    linear = rotation(draws.normal(0, 6), draws.normal(0, 6), draws.normal(0, 10))
    linear = linear / draws.between((0.7, 1.2))
    if draws.chance(0.5):
        linear[:, 0] *= -1
    shift = torch.tensor([draws.normal(0, 8) for _ in range(3)])
    points = turned(mask.shape, linear, shift, draws.device)
    share = sample_at(mask.float()[None].to(draws.device), points)[0]
    share = near(share, draws.between((0.6, 1.5)))
    canvas.add(share, 1 + contrast * draws.between((0.8, 1.5)))
