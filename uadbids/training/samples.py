"""Training samples, and the batch of one step: which of them, and how each is varied."""

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from uadbids.model.config import TrainConfig
from uadbids.training.augment import Batch, augment, corrupt
from uadbids.training.distributed import World

# Maps are masked to the brain, so outside it the network only has to stay near 0.
_BACKGROUND_WEIGHT = 0.05


class Sample(NamedTuple):
    """One healthy scan on the model's crop, (X, Y, Z); lesion voxels are already filled."""

    volume: Tensor  # uint8 (0 to 255) or float in [0, 1]; 0 outside the brain
    mask: Tensor  # brain, bool
    weight: Tensor  # bool or uint8; 0 leaves a voxel out of the loss


class StepBatch(NamedTuple):
    """One process's part of the volumes of a step, (B, 1, X, Y, Z)."""

    seen: Tensor  # what the network sees
    target: Tensor  # what it shall give
    weight: Tensor  # of voxels in the L1 mean; those of every volume have mean 1
    generators: tuple[torch.Generator, ...]  # one for each volume, for its code


def fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over all tensors of the samples, in their order."""
    digest = hashlib.sha256()
    for tensor in (tensor for sample in samples for tensor in sample):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def as_batch(sample: Sample, device: torch.device) -> Batch:
    """One sample as floats, (1, 1, X, Y, Z); background set to 0."""
    tensors = (sample.volume, sample.mask, sample.weight > 0)
    volume, mask, weight = (tensor[None, None].to(device).float() for tensor in tensors)
    scale = 1.0 if sample.volume.is_floating_point() else 1.0 / 255.0
    return Batch(volume * scale * mask, mask, weight)


def loss_weight(batch: Batch) -> Tensor:
    """Voxel weights of the L1 mean: brain 1, left-out voxels 0, background small."""
    return batch.mask * batch.weight + _BACKGROUND_WEIGHT * (1.0 - batch.mask)


def pick(count: int, first: int, size: int, seed: int) -> list[int]:
    """Return the indices of the samples number ``first`` to ``first + size`` of an endless shuffle.

    Every pass over the ``count`` samples has its own order, which depends on the seed and the
    pass alone: a resumed training needs to remember nothing.
    """
    numbers = range(first, first + size)
    return [_order(count, number // count, seed)[number % count] for number in numbers]


def draw_batch(
    samples: Sequence[Sample], step: int, config: TrainConfig, world: World
) -> StepBatch:
    """Draw and vary the volumes of a step, the one after so many, on the device of this process.

    All randomness of a volume depends on the seed and on its number in the training alone: not
    on the processes, nor on whether the training was interrupted. UsageError if the batch cannot
    be shared out evenly.
    """
    first = step * config.batch_size
    numbers = world.share(range(first, first + config.batch_size))
    chosen = world.share(pick(len(samples), first, config.batch_size, config.seed))
    generators = tuple(_generator(config.seed, number, world.device) for number in numbers)
    pairs = [
        _vary(as_batch(samples[index], world.device), config, generator)
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


def _order(count: int, number: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed + 1_000_003 * number)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


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
