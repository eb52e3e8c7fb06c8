"""How the reader is trained, and the course of its training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReaderTraining:
    """How to train; with samples and seed it fixes the result, unless time is the limit.

    Parameters
    ----------
    steps : int
        Optimiser steps; with `minutes`, no more than these.
    minutes : float or None
        Train for so long instead, those before an interruption included.
    epoch_steps : int
        Steps between two validations and checkpoints.
    batch_size : int
        Samples a step.
    repeated : int
        How many of them have been seen before (mirrored), since painting takes longest.
    kept, few : int
        The last samples, kept for that; until there are `few`, all are new.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls by a cosine after 50 steps of warm-up.
    gradient_norm : float
        Gradients are clipped to this length.
    frozen_from : float
        Part of the training after which batch normalisation keeps its statistics: so training and
        use agree.
    averaging : float
        Decay of the average of the weights, which is what is kept.
    seed : int
        Of weights and of repetitions.
    """

    steps: int = 2000
    minutes: float | None = None
    epoch_steps: int = 100
    batch_size: int = 4
    repeated: int = 2
    kept: int = 64
    few: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    gradient_norm: float = 1.0
    frozen_from: float = 0.7
    averaging: float = 0.998
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.epoch_steps, self.batch_size, self.few) < 1:
            raise ValueError("steps, epoch_steps, batch_size and few must be at least 1.")
        if not 0 <= self.repeated < self.batch_size:
            raise ValueError("repeated must be less than batch_size.")


@dataclass(frozen=True)
class ReaderEpoch:
    """What one epoch gave.

    Attributes
    ----------
    step, samples : int
        Steps made and samples painted at its end.
    cross_entropy, dice : float
        Losses, means over its steps.
    val_cross_entropy, val_dice : float
        The same of the averaged weights on the validation samples (NaN without any).
    learning_rate : float
        Of the last step.
    seconds, waited : float
        Time of the training so far, and how much of it was spent waiting for samples.
    """

    step: int
    samples: int
    cross_entropy: float
    dice: float
    val_cross_entropy: float
    val_dice: float
    learning_rate: float
    seconds: float
    waited: float
