"""Random variation of training volumes, on tensors, cheap enough for one CPU core.

Every smooth random field is drawn on a coarse grid and enlarged. ``augment`` changes what is to be
learnt, ``corrupt`` only what the network sees.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import AugmentConfig
from uadbids.synthesis.random_fields import between, enlarge, normal, smooth_field, uniform


class Batch(NamedTuple):
    """Volumes and where they count, floats of shape (B, 1, X, Y, Z)."""

    volume: Tensor  # intensities in [0, 1], 0 outside the brain
    mask: Tensor  # brain: 0 or 1
    weight: Tensor  # voxels that count in the loss: 0 or 1


def augment(batch: Batch, config: AugmentConfig, generator: torch.Generator) -> Batch:
    """Vary shape, contrast, bias field, slice thickness and noise of a batch.

    The generator, the source of all randomness, is on the device of the batch; volumes that are
    returned are in [0, 1].
    """
    volume, mask, weight = _move(batch, config, generator)
    anchor = brain_median(volume, mask)
    volume = _contrast(volume, mask, anchor, config, generator)
    volume = _blur(volume, config, generator)
    spread = config.noise * anchor * uniform((len(volume), 1, 1, 1, 1), (0.0, 1.0), generator)
    volume = volume.addcmul(spread, normal(volume.shape, generator)).clamp_(0.0, 1.0)
    return Batch(volume * mask, mask, weight)


def corrupt(batch: Batch, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Input with coarse noise or smooth blobs of random size inside the brain (docs/method.md, 11).

    A network that must give the clean volume back learns to leave lesion-like changes out. The
    corrupted volumes (B, 1, X, Y, Z) are in [0, 1], and unchanged outside the brain.
    """
    anchor = brain_median(batch.volume, batch.mask)
    changes = [
        _corruption(batch.volume.shape[2:], config, generator) for _ in range(len(batch.volume))
    ]
    change = torch.cat(changes) * anchor * batch.mask
    return (batch.volume + change).clamp_(0.0, 1.0)


def brain_median(volume: Tensor, mask: Tensor) -> Tensor:
    """Median intensity inside each mask, shape (B, 1, 1, 1, 1); from every third voxel."""
    # A thirtieth of the voxels gives the median to a fraction of a percent.
    sparse = (slice(None), slice(None), *(slice(None, None, 3),) * 3)
    values = volume[sparse].flatten(1).float()
    outside = mask[sparse].flatten(1) < 0.5
    median = values.masked_fill(outside, torch.nan).nanmedian(dim=1).values
    return torch.nan_to_num(median).view(-1, 1, 1, 1, 1)


def _move(batch: Batch, config: AugmentConfig, generator: torch.Generator) -> Batch:
    """Rigid, scale, flip and elastic moves: planes across x in 2D, then everything along x.

    On a CPU this is faster than one ``grid_sample`` in 3D, and gives the same but for rounding
    and labels, which the second pass takes from the nearest voxel.
    """
    in_planes, along_x = _coordinates(batch.volume, config, generator)
    planes = torch.cat(batch, dim=1).movedim(2, 1)
    # Border padding repeats the last slice where the crop cuts through the brain.
    moved = F.grid_sample(
        planes.flatten(0, 1), in_planes.flatten(0, 1), padding_mode="border", align_corners=True
    )
    volume, mask, weight = moved.view(planes.shape).movedim(1, 2).split(1, dim=1)
    along_x = along_x.clamp_(0.0, volume.shape[2] - 1.0)
    nearest = (along_x + 0.5).long()
    mask, weight = ((x > 0.5).gather(2, nearest).to(volume.dtype) for x in (mask, weight))
    lower = along_x.long().clamp_(max=volume.shape[2] - 2)
    volume = volume.gather(2, lower).lerp(volume.gather(2, lower + 1), along_x - lower)
    return Batch(volume * mask, mask, weight)


def _coordinates(
    x: Tensor, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Where the passes of a random move read.

    Within the planes across x, z and y from -1 to 1: shape (B, X, Y, Z, 2). Along x, in voxels:
    shape (B, 1, X, Y, Z).
    """
    batch, size = len(x), x.shape[2:]
    coarse = [max(2, math.ceil(n / 8) + 1) for n in size]
    half = torch.tensor([(n - 1) / 2 for n in size], device=x.device)
    axes = [torch.linspace(-1.0, 1.0, steps, device=x.device) for steps in coarse]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 3) * half
    matrix = _linear(batch, config, generator)
    shift = config.translation * uniform((batch, 1, 3), (-1.0, 1.0), generator)
    # The x of a plane is where the second pass reads, not where it writes: for the planes, solve
    # for the former.
    shear = matrix[:, :1, 1:] / matrix[:, :1, :1]
    to_planes = torch.cat([shear, matrix[:, 1:, 1:] - matrix[:, 1:, :1] * shear], dim=1)
    shift = torch.cat([shift[..., :1], shift[..., 1:] - shift[..., :1] * shear], dim=2)
    moved = points @ torch.cat([matrix[..., :1], to_planes], dim=2) + shift
    moved = moved.mT.view(batch, 3, *coarse)
    moved = moved + config.elastic * smooth_field((batch, 3, *coarse), 4, generator)
    # Linear enlargement reproduces the linear part exactly: only 1/512 is worked out.
    along_x = enlarge(moved[:, :1] + half[0], size)
    # grid_sample wants the last axis first.
    in_planes = enlarge((moved[:, 1:] / half[1:].view(2, 1, 1, 1)).flip(1), size)
    return in_planes.movedim(1, -1), along_x


def _linear(batch: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Rotation, scale and flip as matrices (B, 3, 3) for row vectors."""
    angles = math.radians(config.rotation) * uniform((batch, 3), (-1.0, 1.0), generator)
    matrix = torch.matrix_exp(_skew(angles))
    factors = 1.0 + config.scale * uniform((batch, 3), (-1.0, 1.0), generator)
    flipped = uniform((batch,), (0.0, 1.0), generator) < config.flip
    factors[:, 0] = torch.where(flipped, -factors[:, 0], factors[:, 0])
    return matrix * factors[:, None, :]


def _skew(angles: Tensor) -> Tensor:
    x, y, z = angles.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    return rows.view(-1, 3, 3)


def _contrast(
    x: Tensor, mask: Tensor, anchor: Tensor, config: AugmentConfig, generator: torch.Generator
) -> Tensor:
    batch = len(x)
    exponent = torch.exp(config.gamma * normal((batch, 1, 1, 1, 1), generator))
    # Scaling at run time ties the brain's median to one value: gamma must not move it.
    anchor = anchor.clamp_min(1e-3)
    x = anchor * (x / anchor).pow(exponent)
    coarse = [math.ceil(n / 16) + 1 for n in x.shape[2:]]
    log_field = config.bias * smooth_field((batch, 1, *coarse), 3, generator)
    inside = F.interpolate(mask, size=coarse, mode="nearest")
    level = (log_field * inside).sum((2, 3, 4), keepdim=True) / inside.sum(
        (2, 3, 4), keepdim=True
    ).clamp_min(1.0)
    return x * enlarge(torch.exp(log_field - level), x.shape[2:])


def _blur(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Coarser voxels and back: thick axial slices and a lower in-plane resolution."""
    thick = (
        config.thick if between((0.0, 1.0), generator) < config.thick_probability else (1.0, 1.0)
    )
    in_plane = between(config.in_plane, generator)
    factors = (in_plane, in_plane, between(thick, generator))
    size = x.shape[2:]
    coarse = [max(1, round(n / factor)) for n, factor in zip(size, factors, strict=True)]
    if coarse == list(size):
        return x
    small = F.interpolate(x, size=coarse, mode="area")
    return F.interpolate(small, size=tuple(size), mode="trilinear", align_corners=False)


def _corruption(size: Sequence[int], config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Relative change (1, 1, X, Y, Z) of one volume: noise or blobs at one or two scales."""
    change = torch.zeros((1, 1, *size), device=generator.device)
    if between((0.0, 1.0), generator) >= config.corruption_probability:
        return change
    for _ in range(1 + int(between((0.0, 1.0), generator) < 0.5)):
        low, high = (math.log(mm) for mm in config.corruption_scale)
        cell = math.exp(between((low, high), generator))
        coarse = [max(2, math.ceil(n / cell) + 1) for n in size]
        field = normal((1, 1, *coarse), generator)
        strength = between(config.corruption_strength, generator)
        if between((0.0, 1.0), generator) < 0.4:
            change += 0.4 * strength * enlarge(field, size)
        else:
            # Most lesions are bright on FLAIR, some are dark.
            sign = 1.0 if between((0.0, 1.0), generator) < 0.75 else -1.0
            blobs = (field - between((0.8, 1.8), generator)).clamp(0.0, 1.0)
            change += sign * 1.5 * strength * enlarge(blobs, size)
    return change
