"""The batch of one step: which samples, and how each is varied."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from uadbids.model.config import TrainConfig
from uadbids.training.augment import Batch, augment, corrupt
from uadbids.training.distributed import World
from uadbids.training.samples import Sample, loss_weight, pick, stack


class StepBatch(NamedTuple):
    """One process's part of the volumes of a step.

    Attributes
    ----------
    seen, target, weight : Tensor, shape (B, 1, X, Y, Z)
        What the network sees, what it shall give, and the voxel weights of the L1 mean; the
        weights of every volume have mean 1.
    generators : tuple of torch.Generator
        One for each volume, for its code.
    """

    seen: Tensor
    target: Tensor
    weight: Tensor
    generators: tuple[torch.Generator, ...]


def draw_batch(
    samples: Sequence[Sample], step: int, config: TrainConfig, world: World
) -> StepBatch:
    """Draw and vary the volumes of a step.

    All randomness of a volume depends on the seed and on its number in the training alone: not
    on the processes, nor on whether the training was interrupted.

    Parameters
    ----------
    samples : sequence of Sample
        To choose from.
    step : int
        Optimiser steps made so far.
    config, world
        Size of the batch, seed, augmentation and corruption; which part to return.

    Returns
    -------
    StepBatch
        On the device of this process.

    Raises
    ------
    UsageError
        If the batch cannot be shared out evenly.
    """
    first = step * config.batch_size
    numbers = world.share(range(first, first + config.batch_size))
    chosen = world.share(pick(len(samples), first, config.batch_size, config.seed))
    generators = tuple(_generator(config.seed, number, world.device) for number in numbers)
    pairs = [
        _vary(stack([samples[index]], world.device), config, generator)
        for index, generator in zip(chosen, generators, strict=True)
    ]
    weights = [loss_weight(clean) for _, clean in pairs]
    return StepBatch(
        torch.cat([seen for seen, _ in pairs]),
        torch.cat([clean.volume for _, clean in pairs]),
        # Every volume counts alike, however large its brain: so the mean over processes is the
        # mean over the batch.
        torch.cat([weight / weight.mean().clamp_min(1e-12) for weight in weights]),
        generators,
    )


def _vary(clean: Batch, config: TrainConfig, generator: torch.Generator) -> tuple[Tensor, Batch]:
    if config.augment is None:
        return clean.volume, clean
    clean = augment(clean, config.augment, generator)
    if not config.corruption:
        return clean.volume, clean
    return corrupt(clean, config.augment, generator), clean


def _generator(seed: int, number: int, device: torch.device) -> torch.Generator:
    # Mixed, so that no sum of a seed and a number gives the same draws twice.
    mixed = random.Random(f"{seed}/{number}").getrandbits(63)
    return torch.Generator(device).manual_seed(mixed)
