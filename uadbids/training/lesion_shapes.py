"""Shapes of lesions: real ones from published masks, and warped ellipsoids."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import rotation, voxels
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.random_fields import blur, enlarge

BOX = 48
"""Side (mm) of the box that holds one small lesion."""
_LONGEST, _SHORTEST = 40, 2


@dataclass(frozen=True)
class LesionShapes:
    """Masks of lesions as packed bits, one after the other."""

    bits: npt.NDArray[np.uint8]  # `numpy.packbits` of each mask
    starts: npt.NDArray[np.int64]  # first byte of each mask, and the end of the last
    sizes: npt.NDArray[np.int64]  # size of each mask in voxels of 1 mm, (N, 3)

    @classmethod
    def of(
        cls, bits: npt.NDArray[np.uint8], length: npt.NDArray[np.int_], shape: npt.NDArray[np.int_]
    ) -> Self:
        """Keep the shapes that fit into a box and are thicker than one voxel."""
        ends = np.cumsum(length.astype(np.int64))
        fit = (shape.max(1) <= _LONGEST) & (shape.min(1) >= _SHORTEST)
        parts = [bits[end - n : end] for end, n in zip(ends[fit], length[fit], strict=True)]
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        joined = np.concatenate(parts) if parts else bits[:0]
        return cls(joined, starts.astype(np.int64), shape[fit].astype(np.int64))

    def __len__(self) -> int:
        return len(self.sizes)

    def mask(self, number: int) -> npt.NDArray[np.uint8]:
        """Unpack one mask: 0 or 1, of its size."""
        packed = self.bits[self.starts[number] : self.starts[number + 1]]
        size = self.sizes[number]
        return np.unpackbits(packed, count=int(size.prod())).reshape(size)


@dataclass(frozen=True)
class PackedMasks:
    """Masks on one grid as packed bits: several hundred do not fit into memory otherwise."""

    bits: npt.NDArray[np.uint8]  # `numpy.packbits` of each mask, (N, bytes)
    shape: tuple[int, int, int]  # size of the grid

    def __len__(self) -> int:
        return len(self.bits)

    def mask(self, number: int) -> Tensor:
        """Unpack one mask: uint8, (X, Y, Z)."""
        found = np.unpackbits(self.bits[number], count=math.prod(self.shape))
        return torch.from_numpy(found.reshape(self.shape))


@dataclass(frozen=True)
class SmallShapes:
    """How small lesions vary."""

    real: float = 0.65  # share of real shapes; the rest are warped ellipsoids
    resize: Range = (0.7, 1.5)  # factor on the size of a real shape
    radius: float = 2.3  # median radius of ellipsoids (mm)
    spread: float = 0.5  # standard deviation of its logarithm
    warp: Range = (0.1, 0.4)  # how uneven the surface is, in radii
    edge: Range = (0.08, 0.25)  # how soft it is, in radii


def small_lesions(
    count: int, shapes: LesionShapes | None, scale: float, config: SmallShapes, draws: Draws
) -> Tensor:
    """Draw soft lesions, at least one, in the middle of boxes.

    Without real shapes all are ellipsoids; the scale is a factor on all sizes. The share of lesion
    in each voxel, 0 to 1, has the shape (count, BOX, BOX, BOX).
    """
    known = shapes is not None and len(shapes) > 0
    chosen = [known and draws.chance(config.real) for _ in range(count)]
    result = _ellipsoids(count, scale, config, draws)
    if shapes is not None and any(chosen):
        real = _real(chosen.count(True), shapes, scale, config, draws)
        result[torch.tensor(chosen, device=draws.device)] = real
    return result


def _real(
    count: int, shapes: LesionShapes, scale: float, config: SmallShapes, draws: Draws
) -> Tensor:
    """Turn, flip, resize and soften real shapes."""
    boxes = np.zeros((count, 1, BOX, BOX, BOX), dtype=np.float32)
    for box in boxes:
        mask = shapes.mask(draws.whole(0, len(shapes) - 1))
        x, y, z = (slice((BOX - n) // 2, (BOX - n) // 2 + n) for n in mask.shape)
        box[0, x, y, z] = mask
    moves = []
    for _ in range(count):
        linear = rotation(draws.normal(0, 15), draws.normal(0, 15), draws.normal(0, 30))
        if draws.chance(0.5):
            linear[:, 0] *= -1
        if draws.chance(0.3):
            linear = linear[:, [1, 0, 2]]
        linear = linear / (scale * draws.log_between(config.resize))
        moves.append(torch.cat([linear, torch.zeros(3, 1)], 1))
    grid = F.affine_grid(torch.stack(moves), list(boxes.shape), align_corners=True)
    source = torch.from_numpy(boxes).to(draws.device)
    moved = F.grid_sample(source, grid.to(draws.device), align_corners=True)
    soft = blur(moved, (draws.between((0.5, 1.0)),) * 3)[:, 0]
    # Thin ones would vanish, which no expert would have drawn then.
    return soft / soft.amax((1, 2, 3), keepdim=True).clamp_min(0.3)


def _ellipsoids(count: int, scale: float, config: SmallShapes, draws: Draws) -> Tensor:
    radii = []
    for _ in range(count):
        sizes = math.exp(draws.normal(math.log(config.radius), config.spread)) * scale
        drawn = [sizes * math.exp(draws.normal(0, 0.3)) for _ in range(3)]
        radii.append([min(14.0, max(1.0, radius)) for radius in drawn])
    turns = [rotation(*(draws.between((0, 180)) for _ in range(3))) for _ in range(count)]
    offsets = voxels((BOX,) * 3, draws.device) - (BOX - 1) / 2
    turned = torch.einsum("xyzi,nij->nxyzj", offsets, torch.stack(turns).to(draws.device))
    scaled = turned / torch.tensor(radii, device=draws.device)[:, None, None, None]
    reach = scaled.norm(dim=-1)
    warp = torch.cat([_warp(min(three), draws) for three in radii])
    uneven = reach + draws.between(config.warp) * warp
    return torch.sigmoid((1 - uneven) / draws.between(config.edge)) * (reach < 2.2)


def _warp(radius: float, draws: Draws) -> Tensor:
    """Noise as coarse as a lesion is large, (1, BOX, BOX, BOX)."""
    knots = max(3, round(BOX / max(2.5, 0.9 * radius)))
    return enlarge(draws.noise((1, 1, knots, knots, knots)), (BOX,) * 3)[0]
