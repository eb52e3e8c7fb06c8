"""How the reader is trained, and the course of its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReaderTraining:
    """How to train; with samples and seed it fixes the result, unless time is the limit."""

    steps: int = 2000  # of the optimiser; with `minutes`, no more than these
    minutes: float | None = None  # train for so long, those before an interruption included
    epoch_steps: int = 100  # steps between two validations and checkpoints
    batch_size: int = 4  # samples a step
    repeated: int = 2  # how many of them were seen before (mirrored): painting takes longest
    kept: int = 64  # the last samples, kept for that
    few: int = 24  # until there are so many, all are new
    learning_rate: float = 2e-3  # of AdamW; falls by a cosine after 50 steps of warm-up
    weight_decay: float = 1e-4
    gradient_norm: float = 1.0  # gradients are clipped to this length
    # Part of the training after which batch normalisation keeps its statistics: so training and
    # use agree.
    frozen_from: float = 0.7
    averaging: float = 0.998  # decay of the average of the weights, which is what is kept
    seed: int = 0  # of weights and of repetitions

    def __post_init__(self) -> None:
        if min(self.steps, self.epoch_steps, self.batch_size, self.few) < 1:
            raise ValueError("steps, epoch_steps, batch_size and few must be at least 1.")
        if not 0 <= self.repeated < self.batch_size:
            raise ValueError("repeated must be less than batch_size.")


@dataclass(frozen=True)
class ReaderEpoch:
    """What one epoch gave; the losses are means over its steps."""

    step: int  # steps made at its end
    samples: int  # painted at its end
    cross_entropy: float
    dice: float
    # The same of the averaged weights on the validation samples (NaN without any).
    val_cross_entropy: float
    val_dice: float
    learning_rate: float  # of the last step
    seconds: float  # time of the training so far
    waited: float  # how much of it was spent waiting for samples


def summed(past: Mapping[str, Any], last: ReaderEpoch) -> dict[str, float]:
    """Add a training that ended with an epoch to what a card says of the reader it began with."""
    parts = {"steps": last.step, "volumes": last.samples, "minutes": last.seconds / 60}
    return {name: round(past.get(name, 0) + part, 1) for name, part in parts.items()}
