"""What a training will take of time and memory, measured on a few steps before it starts."""

import resource
import statistics
import time
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch

from uadbids.model.config import TrainConfig, VAEConfig
from uadbids.model.vae import VAE
from uadbids.training.fit import fit
from uadbids.training.samples import Sample

# Epochs of so many steps; what the first takes besides (libraries, caches) is not counted.
_EPOCHS, _STEPS = 3, 2


class Cost(NamedTuple):
    """What one step takes."""

    seconds: float  # wall time
    memory_gb: float  # of the device, at its highest; of a CPU, of the whole process


def rehearse(
    network: VAEConfig, config: TrainConfig, shape: tuple[int, int, int], device: torch.device
) -> Cost:
    """Train for a few steps on a made-up brain of the shape of the crop.

    UsageError when memory does not suffice.
    """
    short = replace(
        config,
        steps=_EPOCHS * _STEPS, epoch_steps=_STEPS, period=_STEPS, window=1, patience=None,
    )  # fmt: skip
    marks = [time.monotonic()]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    fit(
        VAE(network), [_ball(shape)], [], short,
        device=device, on_epoch=lambda _: marks.append(time.monotonic()),
    )  # fmt: skip
    seconds = [(after - before) / _STEPS for before, after in pairwise(marks)][1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 1024**3
    return Cost(statistics.median(seconds), peak)


def _ball(shape: tuple[int, int, int]) -> Sample:
    """Make up a brain of about the size of a real one."""
    axes = (torch.linspace(-1.15, 1.15, n) for n in shape)
    mask = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0) < 1
    volume = (0.4 + 0.3 * torch.rand(shape, generator=torch.Generator().manual_seed(0))) * mask
    return Sample((255 * volume).to(torch.uint8), mask, torch.ones(shape, dtype=torch.bool))
