"""One training: seeded, resumable, and kept at full KL weight only (docs/training.md)."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uadbids.errors import UsageError
from uadbids.model.config import TrainConfig
from uadbids.model.vae import VAE, as_images
from uadbids.training.checkpoint import load_checkpoint, save_checkpoint, stop_requests
from uadbids.training.distributed import World, joined
from uadbids.training.losses import CollapseRobustLoss, LossTerms, validate
from uadbids.training.memory import memory_advice
from uadbids.training.samples import Sample, draw_batch, fingerprint


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; the losses are means over its steps."""

    step: int  # optimiser steps made at its end
    reconstruction: float  # weighted L1
    kl: float  # nats, reduced as configured
    beta: float  # KL weight of the last step
    active_units: int  # latent units above 0.01 nat on the validation scans
    val_mae: float  # mean absolute error inside the brain of the validation scans (NaN without any)
    seconds: float  # wall time
    learning_rate: float  # of the last step
    sigma: float  # divisor of L1 in equation 2 of the paper, in the last step


@dataclass(frozen=True)
class History:
    """Epochs of a training, in order, and which one the model was kept at."""

    epochs: tuple[Epoch, ...]
    best: int  # index of the kept epoch: lowest ``val_mae``, or the last without validation scans

    @property
    def collapsed(self) -> bool:
        """Whether the kept model's code carries nothing (docs/method.md, 1)."""
        return self.epochs[self.best].active_units == 0


def fit(
    model: VAE,
    train: Sequence[Sample],
    val: Sequence[Sample],
    config: TrainConfig,
    *,
    device: str | torch.device,
    checkpoint: Path | None = None,
    fresh: bool = False,
    on_step: Callable[[int, float], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> History:
    """Train a VAE with the collapse-robust loss (paper, section 2.2), in place.

    An existing checkpoint is continued, to the same result as without the interruption (up to
    rounding on a GPU). On SIGTERM or SIGINT a checkpoint is written after the running step. Under
    ``torchrun`` all processes call this alike and share the steps; only the first writes and
    calls back.

    Parameters
    ----------
    model : VAE
        Ends with the weights of the kept epoch, in evaluation mode, on the device.
    train, val : sequence of Sample
        Healthy scans on the model's crop.
    device : str or torch.device
        Where to train; of several GPUs each process of a node takes its own.
    checkpoint : Path, optional
        File to continue from, if it exists (unless ``fresh``), and to write to.
    on_step, on_epoch, on_note : callable, optional
        Called with the number of every step and its L1, with every finished Epoch, and with
        sentences for the user.

    Returns
    -------
    History
        All epochs, those before an interruption included.

    Raises
    ------
    ValueError
        If there is no training scan.
    UsageError
        If the checkpoint belongs to another model, configuration or cohort, the batch cannot be
        shared out to the processes, memory runs out, or the training diverges.
    KeyboardInterrupt
        After the checkpoint was written, when the training was asked to stop.
    """
    if not train:
        raise ValueError("Training needs at least one scan.")
    with joined(device) as world, memory_advice(world.device):
        note = on_note if on_note is not None and world.leads else lambda sentence: None
        run = _Run(model, train, val, config, world)
        if checkpoint is not None and checkpoint.exists() and not fresh:
            run.load_state_dict(load_checkpoint(checkpoint, run.identity()))
        run.check_agreement()
        if config.bf16 and not run.bfloat16:
            note("This machine has no bfloat16; training in float32, which takes longer.")
        with stop_requests() as asked:
            while not run.done:
                epoch = run.advance()
                stop = world.any(bool(asked))
                due = run.step % config.checkpoint_every == 0 or run.done
                if checkpoint is not None and (due or stop) and world.leads:
                    save_checkpoint(checkpoint, run.identity(), run.state_dict())
                if on_step is not None and world.leads:
                    on_step(run.step, run.reconstruction)
                if epoch is not None and on_epoch is not None and world.leads:
                    on_epoch(epoch)
                if stop:
                    # One process that left would take the first down amid its writing.
                    world.wait()
                    raise KeyboardInterrupt(f"Training was stopped at step {run.step}.")
        if run.step < config.steps:
            note(f"Stopped at step {run.step}: no better for {config.patience} epochs.")
        return run.finish()


def uses_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    """Whether to compute in bfloat16: older GPUs and CPUs only emulate it, slower than float32."""
    if device.type == "cuda" and torch.version.hip is None:
        return config.bf16 and torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return config.bf16 and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return config.bf16


class _Run:
    """State of one training between two steps."""

    def __init__(
        self,
        model: VAE,
        train: Sequence[Sample],
        val: Sequence[Sample],
        config: TrainConfig,
        world: World,
    ) -> None:
        self.model, self.config, self._world = model.to(world.device), config, world
        self.bfloat16 = uses_bfloat16(config, world.device)
        self._train, self._val = train, val
        # Weights that have seen other scans, perhaps those held out now, must not be continued.
        self._data = [fingerprint(samples) for samples in (train, val)]
        self._shared = world.share_gradients(self.model)
        self._optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        self._loss = CollapseRobustLoss(
            config.period, config.window, config.kl_reduction, world.average
        )
        self.step = 0
        self.reconstruction = math.nan  # L1 of the last step
        self._epochs: list[Epoch] = []
        self._totals = [0.0, 0.0, 0.0]  # of the running epoch: L1, KL, seconds
        self._best = -1
        self._best_weights: dict[str, Tensor] = {}

    @property
    def done(self) -> bool:
        """Whether all steps are made, or patience is at its end."""
        patience, last = self.config.patience, len(self._epochs) - 1
        impatient = patience is not None and self._best >= 0 and last - self._best >= patience
        return self.step >= self.config.steps or impatient

    def advance(self) -> Epoch | None:
        """Make one step; the Epoch if that ended one."""
        start = time.perf_counter()
        terms = self._train_step()
        self.step += 1
        self.reconstruction = terms.reconstruction
        done = self.step % self.config.epoch_steps == 0
        validation = self._validate() if done else None
        parts = (terms.reconstruction, terms.kl, time.perf_counter() - start)
        self._totals = [a + b for a, b in zip(self._totals, parts, strict=True)]
        return None if validation is None else self._close_epoch(terms, *validation)

    def finish(self) -> History:
        self.model.load_state_dict(self._best_weights)
        self.model.eval()
        return History(tuple(self._epochs), self._best)

    def check_agreement(self) -> None:
        """Refuse to go on when processes stand at different steps or have different scans."""
        # Single bytes: their sum over many processes is still exact.
        data = [byte for digest in self._data for byte in bytes.fromhex(digest[:8])]
        mine = torch.tensor([self.step, *data], dtype=torch.float32, device=self._world.device)
        if self._world.any(not torch.equal(self._world.average(mine.clone()), mine)):
            raise UsageError(
                "The processes do not see the same checkpoint or the same scans; put the work "
                "folder on storage that all nodes share."
            )

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
        self.step = state["step"]
        self._epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self._totals = list(state["totals"])
        self._best, self._best_weights = state["best"], state["best_weights"]

    def _train_step(self) -> LossTerms:
        config, images = self.config, partial(as_images, self.model.config)
        self.model.train()
        batch = draw_batch(self._train, self.step, config, self._world)
        for group in self._optimiser.param_groups:
            group["lr"] = _learning_rate(self.step, config)
        with torch.autocast(self._world.device.type, torch.bfloat16, enabled=self.bfloat16):
            output = self._shared(images(batch.seen), batch.generators)
        terms = self._loss(output, images(batch.target), images(batch.weight))
        # Means over all processes, so that all leave here together; the weights are still good.
        _check_finite("loss", terms.reconstruction + terms.kl, self.step + 1)
        self._optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_norm)
        self._optimiser.step()
        return terms

    def _validate(self) -> tuple[float, int]:
        # Without held-out scans the units are still worth counting.
        error, active = validate(self.model, self._val or self._train[:4], self._world)
        # A last step that spoils the weights shows in no loss.
        _check_finite("validation error", error, self.step)
        return (error if self._val else math.nan), active

    def _close_epoch(self, terms: LossTerms, val_mae: float, active_units: int) -> Epoch:
        l1, kl, seconds = self._totals
        steps = self.config.epoch_steps
        epoch = Epoch(
            step=self.step,
            reconstruction=l1 / steps,
            kl=kl / steps,
            beta=terms.beta,
            active_units=active_units,
            val_mae=val_mae,
            seconds=seconds,
            learning_rate=_learning_rate(self.step - 1, self.config),
            sigma=terms.sigma,
        )
        self._totals = [0.0, 0.0, 0.0]
        self._epochs.append(epoch)
        if not self._val or self._best < 0 or val_mae < self._epochs[self._best].val_mae:
            self._best = len(self._epochs) - 1
            self._best_weights = copy.deepcopy(self.model.state_dict())
        return epoch


def _check_finite(what: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise UsageError(
            f"The {what} of step {step} is not a finite number: the training diverged; start over "
            "(--no-resume) with a lower --learning-rate."
        )


def _learning_rate(step: int, config: TrainConfig) -> float:
    warm = min(1.0, (step + 1) / 100)
    if config.schedule == "constant":
        return config.learning_rate * warm
    # A least rate of 1 % keeps the last steps from being wasted.
    fall = 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    return config.learning_rate * warm * fall
