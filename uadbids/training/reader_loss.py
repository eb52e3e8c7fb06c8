"""Loss of the reader, and how well it does on samples that nobody trains on."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.training.reader_samples import ReaderSample

_CROSS_ENTROPY = 10.0
# Voxels that are added to both sides: a lesion of a few voxels does not decide alone.
_SMOOTH = 30.0


class ReaderLoss(NamedTuple):
    """What one comparison gives."""

    total: Tensor  # to be minimised
    cross_entropy: float  # mean over voxels that count
    dice: float  # 1 - soft Dice, mean over samples


def reader_loss(logits: Tensor, label: Tensor, weight: Tensor) -> ReaderLoss:
    """10 times the cross-entropy of all voxels, plus the soft Dice loss of each sample.

    All are of shape (N, X, Y, Z); labels are from 0 to 1, weights 0 or 1. Dice is taken by sample,
    so that small lesions count as much as large ones.
    """
    logits = logits.float()
    terms = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    cross_entropy = (terms * weight).sum() / weight.sum().clamp_min(1)
    found, there = torch.sigmoid(logits) * weight, label * weight
    both = (found * there).sum((1, 2, 3))
    either = found.sum((1, 2, 3)) + there.sum((1, 2, 3))
    dice = (1 - (2 * both + _SMOOTH) / (either + _SMOOTH)).mean()
    total = _CROSS_ENTROPY * cross_entropy + dice
    return ReaderLoss(total, float(cross_entropy.detach()), float(dice.detach()))


def on_device(sample: ReaderSample, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Give inputs (channels last), label (0 to 1) and weight as float32."""
    inputs, label, weight = (part.to(device, non_blocking=True).float() for part in sample)
    return inputs.contiguous(memory_format=torch.channels_last_3d), label / 255, weight


@torch.no_grad()
def validate_reader(
    network: Callable[[Tensor], Tensor], samples: Sequence[ReaderSample], device: torch.device
) -> tuple[float, float]:
    """Cross-entropy and Dice loss, means over samples; the network is in evaluation mode."""
    cross_entropy, dice = 0.0, 0.0
    for sample in samples:
        inputs, label, weight = on_device(sample, device)
        loss = reader_loss(network(inputs), label, weight)
        cross_entropy += loss.cross_entropy / len(samples)
        dice += loss.dice / len(samples)
    return cross_entropy, dice
