"""Training samples, and the tensors that a model makes of them."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from uadbids.training.augment import Batch

# Maps are masked to the brain, so outside it the network only has to stay near 0.
_BACKGROUND_WEIGHT = 0.05


class Sample(NamedTuple):
    """One healthy scan on the model's crop; lesion voxels are already filled.

    Attributes
    ----------
    volume : Tensor, shape (X, Y, Z)
        uint8 (0 to 255) or float in [0, 1]; 0 outside the brain.
    mask : Tensor, shape (X, Y, Z)
        Brain, bool.
    weight : Tensor, shape (X, Y, Z)
        bool or uint8; 0 leaves a voxel out of the loss.
    """

    volume: Tensor
    mask: Tensor
    weight: Tensor


def fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over all tensors of the samples, in their order."""
    digest = hashlib.sha256()
    for tensor in (tensor for sample in samples for tensor in sample):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def stack(samples: Sequence[Sample], device: torch.device) -> Batch:
    """One float batch (B, 1, X, Y, Z) of samples of one shape and type; background set to 0."""

    def stacked(tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).unsqueeze(1).to(device).float()

    volumes = [s.volume for s in samples]
    scale = 1.0 if volumes[0].is_floating_point() else 1.0 / 255.0
    mask = stacked([s.mask for s in samples])
    weight = stacked([s.weight > 0 for s in samples])
    return Batch(stacked(volumes) * scale * mask, mask, weight)


def loss_weight(batch: Batch) -> Tensor:
    """Voxel weights of the L1 mean: brain 1, left-out voxels 0, background small."""
    return batch.mask * batch.weight + _BACKGROUND_WEIGHT * (1.0 - batch.mask)


def pick(count: int, first: int, size: int, seed: int) -> list[int]:
    """Return the indices of the samples number ``first`` to ``first + size`` of an endless shuffle.

    Every pass over the ``count`` samples has its own order, which depends on the seed and the
    pass alone: a resumed training needs to remember nothing.
    """
    return [
        _order(count, number // count, seed)[number % count]
        for number in range(first, first + size)
    ]


def _order(count: int, number: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed + 1_000_003 * number)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order
