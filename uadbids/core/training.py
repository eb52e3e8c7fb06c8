"""One training: seeded, resumable, and kept at full KL weight only (docs/method.md, 3)."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uadbids.core.augment import augment, corrupt
from uadbids.core.checkpoint import load_checkpoint, save_checkpoint, stop_requests
from uadbids.core.config import TrainConfig
from uadbids.core.losses import ACTIVE_NATS, CollapseRobustLoss, LossTerms, kl_per_unit
from uadbids.core.models import VAE
from uadbids.core.samples import Sample, as_images, fingerprint, loss_weight, pick, stack

__all__ = ["Epoch", "History", "Sample", "TrainConfig", "fit"]


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
    """

    step: int
    reconstruction: float
    kl: float
    beta: float
    active_units: int
    val_mae: float
    seconds: float


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a report or a card."""
        return asdict(self) | {"collapsed": self.collapsed}


def fit(
    model: VAE,
    train: Sequence[Sample],
    val: Sequence[Sample],
    config: TrainConfig,
    *,
    device: str | torch.device,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Train a VAE with the collapse-robust loss (paper, section 2.2), in place.

    An existing checkpoint is continued, to the same result as without the interruption. On
    SIGTERM or SIGINT a checkpoint is written after the running step.

    Parameters
    ----------
    model : VAE
        Ends with the weights of the kept epoch, in evaluation mode, on ``device``.
    train, val : sequence of Sample
        Healthy scans on the model's crop.
    config : TrainConfig
        How to train.
    device : str or torch.device
        Where to train.
    checkpoint : Path, optional
        File to continue from, if it exists, and to write to.
    on_epoch : callable, optional
        Called with every finished Epoch.

    Returns
    -------
    History
        All epochs, those before an interruption included.

    Raises
    ------
    ValueError
        If there is no training scan.
    UsageError
        If the checkpoint belongs to another model, configuration or cohort.
    KeyboardInterrupt
        After the checkpoint was written, when the training was told to stop.
    """
    if not train:
        raise ValueError("Training needs at least one scan.")
    run = _Run(model, train, val, config, torch.device(device))
    if checkpoint is not None and checkpoint.exists():
        run.load_state_dict(load_checkpoint(checkpoint, run.identity(), run.device))
    with stop_requests() as stop:
        while run.step < config.steps:
            epoch = run.advance()
            due = run.step % config.checkpoint_every == 0 or run.step == config.steps
            if checkpoint is not None and (due or stop):
                save_checkpoint(checkpoint, run.identity(), run.state_dict())
            if epoch is not None and on_epoch is not None:
                on_epoch(epoch)
            if stop:
                raise KeyboardInterrupt(f"Training was stopped at step {run.step}.")
    return run.finish()


class _Run:
    """State of one training between two steps."""

    def __init__(
        self,
        model: VAE,
        train: Sequence[Sample],
        val: Sequence[Sample],
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        self.model, self.config, self.device = model.to(device), config, device
        self._train, self._val = train, val
        # Weights that have seen other scans, perhaps those held out now, must not be continued.
        self._data = [fingerprint(samples) for samples in (train, val)]
        self._optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        self._loss = CollapseRobustLoss(config.period, config.window, config.kl_reduction)
        self._generator = torch.Generator(device).manual_seed(config.seed)
        self.step = 0
        self._epochs: list[Epoch] = []
        self._totals = [0.0, 0.0, 0.0]  # of the running epoch: L1, KL, seconds
        self._best = -1
        self._best_weights: dict[str, Tensor] = {}

    def advance(self) -> Epoch | None:
        """Make one step; the Epoch if that ended one."""
        start = time.perf_counter()
        terms = self._train_step()
        self.step += 1
        done = self.step % self.config.epoch_steps == 0
        validation = self._validate() if done else None
        self._totals = [
            self._totals[0] + terms.reconstruction,
            self._totals[1] + terms.kl,
            self._totals[2] + time.perf_counter() - start,
        ]
        return None if validation is None else self._close_epoch(terms.beta, *validation)

    def finish(self) -> History:
        self.model.load_state_dict(self._best_weights)
        self.model.eval()
        return History(tuple(self._epochs), self._best)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with."""
        return {
            "model": asdict(self.model.config),
            "training": asdict(self.config),
            "data": self._data,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "loss": self._loss.state_dict(),
            "generator": self._generator.get_state(),
            "step": self.step,
            "epochs": [asdict(epoch) for epoch in self._epochs],
            "totals": list(self._totals),
            "best": self._best,
            "best_weights": self._best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._loss.load_state_dict(state["loss"])
        self._generator.set_state(state["generator"].cpu())
        self.step = state["step"]
        self._epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self._totals = list(state["totals"])
        self._best, self._best_weights = state["best"], state["best_weights"]

    def _train_step(self) -> LossTerms:
        config = self.config
        self.model.train()
        batch = stack([self._train[i] for i in self._indices()], self.device)
        if config.augment is not None:
            batch = augment(batch, config.augment, self._generator)
        seen = batch.volume
        if config.augment is not None and config.corruption:
            seen = corrupt(batch, config.augment, self._generator)
        for group in self._optimiser.param_groups:
            group["lr"] = _learning_rate(self.step, config)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bf16):
            output = self.model(as_images(self.model.config, seen), self._generator)
        target, weight = (
            as_images(self.model.config, batch.volume),
            as_images(self.model.config, loss_weight(batch)),
        )
        terms = self._loss(output, target, weight)
        self._optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_norm)
        self._optimiser.step()
        return terms

    def _indices(self) -> list[int]:
        """Choose the scans of this step: random passes that depend on seed and step alone."""
        first = self.step * self.config.batch_size
        return pick(len(self._train), first, self.config.batch_size, self.config.seed)

    @torch.no_grad()
    def _validate(self) -> tuple[float, int]:
        """Error inside the brain and active units, from clean inputs and mean codes."""
        self.model.eval()
        errors, kl = [], torch.zeros(1, device=self.device)
        # Without held-out scans the units are still worth counting.
        for sample in self._val or self._train[:4]:
            batch = stack([sample], self.device)
            inputs = as_images(self.model.config, batch.volume)
            output = self.model(inputs)
            inside = as_images(self.model.config, batch.mask * batch.weight) > 0
            errors.append(float((output.reconstruction - inputs).abs()[inside].mean()))
            kl = kl + kl_per_unit(output.mean, output.logvar)
        active = int((kl / len(errors) > ACTIVE_NATS).sum())
        return (sum(errors) / len(errors) if self._val else math.nan), active

    def _close_epoch(self, beta: float, val_mae: float, active_units: int) -> Epoch:
        l1, kl, seconds = self._totals
        steps = self.config.epoch_steps
        epoch = Epoch(self.step, l1 / steps, kl / steps, beta, active_units, val_mae, seconds)
        self._totals = [0.0, 0.0, 0.0]
        self._epochs.append(epoch)
        if not self._val or self._best < 0 or val_mae < self._epochs[self._best].val_mae:
            self._best = len(self._epochs) - 1
            self._best_weights = copy.deepcopy(self.model.state_dict())
        return epoch


def _learning_rate(step: int, config: TrainConfig) -> float:
    warm = min(1.0, (step + 1) / 100)
    if config.schedule == "constant":
        return config.learning_rate * warm
    # A floor of 1 % keeps the last steps from being wasted.
    fall = 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    return config.learning_rate * warm * fall
