"""Random variation of training volumes, on tensors, cheap enough for one CPU core.

Everything spatial is one ``grid_sample``; every smooth random field is drawn on a coarse grid
and enlarged. ``augment`` changes what is to be learnt, ``corrupt`` only what the network sees.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.core.config import AugmentConfig, Range


class Batch(NamedTuple):
    """Volumes and where they count, all of shape (B, 1, X, Y, Z).

    Attributes
    ----------
    volume : Tensor, float
        Intensities in [0, 1], 0 outside the brain.
    mask, weight : Tensor, float
        Brain, and voxels that count in the loss: 0 or 1.
    """

    volume: Tensor
    mask: Tensor
    weight: Tensor


def augment(batch: Batch, config: AugmentConfig, generator: torch.Generator) -> Batch:
    """Vary shape, contrast, bias field, slice thickness and noise of a batch.

    Parameters
    ----------
    batch : Batch
        Volumes on any device.
    config : AugmentConfig
        Strengths.
    generator : torch.Generator
        Source of all randomness, on the device of the batch.

    Returns
    -------
    Batch
        New tensors of the same shapes; volume in [0, 1].
    """
    volume, mask, weight = _move(batch, config, generator)
    anchor = brain_median(volume, mask)
    volume = _contrast(volume, mask, anchor, config, generator)
    volume = _blur(volume, config, generator)
    spread = config.noise * anchor * _uniform((len(volume), 1, 1, 1, 1), (0.0, 1.0), generator)
    volume = volume.addcmul(spread, _normal(volume.shape, generator)).clamp_(0.0, 1.0)
    return Batch(volume * mask, mask, weight)


def corrupt(batch: Batch, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Input with coarse noise or smooth blobs of random size inside the brain (docs/method.md, 11).

    A network that must give the clean volume back learns to leave lesion-like changes out.

    Parameters
    ----------
    batch : Batch
        Clean volumes.
    config : AugmentConfig
        Sizes, strengths and probability.
    generator : torch.Generator
        Source of all randomness, on the device of the batch.

    Returns
    -------
    Tensor, shape (B, 1, X, Y, Z)
        Corrupted volumes in [0, 1]; voxels outside the brain are unchanged.
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
    stacked = torch.cat(batch, dim=1)
    grid = _sampling_grid(stacked, config, generator)
    # Border padding repeats the last slice where the crop cuts through the brain.
    moved = F.grid_sample(stacked, grid, padding_mode="border", align_corners=True)
    mask = (moved[:, 1:2] > 0.5).to(moved.dtype)
    weight = (moved[:, 2:3] > 0.5).to(moved.dtype)
    return Batch(moved[:, :1] * mask, mask, weight)


def _sampling_grid(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Coordinates (B, X, Y, Z, 3) for ``grid_sample``: rigid, scale, flip and elastic moves."""
    batch, size = len(x), x.shape[2:]
    coarse = [max(2, math.ceil(n / 8) + 1) for n in size]
    axes = [
        torch.linspace(-(n - 1) / 2, (n - 1) / 2, steps, device=x.device)
        for n, steps in zip(size, coarse, strict=True)
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(1, -1, 3)
    moved = points @ _linear(batch, config, generator)
    moved = moved + config.translation * _uniform((batch, 1, 3), (-1.0, 1.0), generator)
    moved = moved.view(batch, *coarse, 3)
    moved = moved + config.elastic * _smooth_field((batch, 3, *coarse), 4, generator).movedim(1, -1)
    half = torch.tensor([(n - 1) / 2 for n in size], device=x.device)
    # Linear enlargement reproduces the linear part exactly: only 1/512 is worked out.
    # grid_sample wants the last axis first.
    return _enlarge((moved / half).flip(-1).movedim(-1, 1), size).movedim(1, -1)


def _linear(batch: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Rotation, scale and flip as matrices (B, 3, 3) for row vectors."""
    angles = math.radians(config.rotation) * _uniform((batch, 3), (-1.0, 1.0), generator)
    matrix = torch.matrix_exp(_skew(angles))
    factors = 1.0 + config.scale * _uniform((batch, 3), (-1.0, 1.0), generator)
    flipped = _uniform((batch,), (0.0, 1.0), generator) < config.flip
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
    exponent = torch.exp(config.gamma * _normal((batch, 1, 1, 1, 1), generator))
    # Scaling at run time ties the brain's median to one value: gamma must not move it.
    anchor = anchor.clamp_min(1e-3)
    x = anchor * (x / anchor).pow(exponent)
    coarse = [math.ceil(n / 16) + 1 for n in x.shape[2:]]
    log_field = config.bias * _smooth_field((batch, 1, *coarse), 3, generator)
    inside = F.interpolate(mask, size=coarse, mode="nearest")
    level = (log_field * inside).sum((2, 3, 4), keepdim=True) / inside.sum(
        (2, 3, 4), keepdim=True
    ).clamp_min(1.0)
    return x * _enlarge(torch.exp(log_field - level), x.shape[2:])


def _blur(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Coarser voxels and back: thick axial slices and a lower in-plane resolution."""
    thick = config.thick if _draw(generator) < config.thick_probability else (1.0, 1.0)
    in_plane = _between(config.in_plane, generator)
    factors = (in_plane, in_plane, _between(thick, generator))
    size = x.shape[2:]
    coarse = [max(1, round(n / factor)) for n, factor in zip(size, factors, strict=True)]
    if coarse == list(size):
        return x
    small = F.interpolate(x, size=coarse, mode="area")
    return F.interpolate(small, size=tuple(size), mode="trilinear", align_corners=False)


def _corruption(size: Sequence[int], config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Relative change (1, 1, X, Y, Z) of one volume: noise or blobs at one or two scales."""
    change = torch.zeros((1, 1, *size), device=generator.device)
    if _draw(generator) >= config.corruption_probability:
        return change
    for _ in range(1 + int(_draw(generator) < 0.5)):
        low, high = (math.log(mm) for mm in config.corruption_scale)
        cell = math.exp(_between((low, high), generator))
        coarse = [max(2, math.ceil(n / cell) + 1) for n in size]
        field = _normal((1, 1, *coarse), generator)
        strength = _between(config.corruption_strength, generator)
        if _draw(generator) < 0.4:
            change += 0.4 * strength * _enlarge(field, size)
        else:
            # Most lesions are bright on FLAIR, some are dark.
            sign = 1.0 if _draw(generator) < 0.75 else -1.0
            blobs = (field - _between((0.8, 1.8), generator)).clamp(0.0, 1.0)
            change += sign * 1.5 * strength * _enlarge(blobs, size)
    return change


def _smooth_field(shape: tuple[int, ...], factor: int, generator: torch.Generator) -> Tensor:
    """Field of about unit variance whose knots lie ``factor`` of its cells apart."""
    size = shape[2:]
    knots = [max(2, math.ceil(n / factor) + 1) for n in size]
    # Linear enlargement in three axes leaves about 0.3 of the variance of its knots.
    return _enlarge(_normal((*shape[:2], *knots), generator), size) / math.sqrt(0.3)


def _enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=True)


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=generator.device)


def _uniform(shape: Sequence[int], limits: Range, generator: torch.Generator) -> Tensor:
    low, high = limits
    values = torch.rand(tuple(shape), generator=generator, device=generator.device)
    return low + (high - low) * values


def _draw(generator: torch.Generator) -> float:
    return float(_uniform((1,), (0.0, 1.0), generator))


def _between(limits: Range, generator: torch.Generator) -> float:
    low, high = limits
    return low + (high - low) * _draw(generator)
