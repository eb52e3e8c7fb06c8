"""The course of a training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; the losses are means over its steps.

    Attributes
    ----------
    step : int
        Optimiser steps made at its end.
    reconstruction, kl : float
        Weighted L1; KL in nats, reduced as configured.
    beta : float
        KL weight of the last step.
    active_units : int
        Latent units above 0.01 nat on the validation scans.
    val_mae : float
        Mean absolute error inside the brain of the validation scans (NaN without any).
    seconds : float
        Wall time.
    learning_rate, sigma : float
        Those of the last step; sigma is the divisor of L1 in equation 2 of the paper.
    """

    step: int
    reconstruction: float
    kl: float
    beta: float
    active_units: int
    val_mae: float
    seconds: float
    learning_rate: float
    sigma: float


@dataclass(frozen=True)
class History:
    """Epochs of a training, and which one the model was kept at.

    Attributes
    ----------
    epochs : tuple of Epoch
        In order.
    best : int
        Index of the kept epoch: lowest ``val_mae``, or the last without validation scans.
    """

    epochs: tuple[Epoch, ...]
    best: int

    @property
    def collapsed(self) -> bool:
        """Whether the kept model's code carries nothing (docs/method.md, 1)."""
        return self.epochs[self.best].active_units == 0
