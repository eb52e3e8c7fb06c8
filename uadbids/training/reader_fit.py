"""Training of the reader: seeded, resumable, on a CPU or a GPU."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from uadbids.errors import UsageError
from uadbids.model.reader import Reader
from uadbids.training.checkpoint import load_checkpoint, save_checkpoint, stop_requests
from uadbids.training.memory import memory_advice
from uadbids.training.reader_loss import on_device, reader_loss, validate_reader
from uadbids.training.reader_samples import ReaderSample
from uadbids.training.reader_settings import ReaderEpoch, ReaderTraining

Supply = Callable[[int], AbstractContextManager[Iterator[ReaderSample]]]
"""From the number of a sample to all samples from there on (`reader_workers.samples_from`)."""
_WARM_UP = 50
_LEAST_RATE = 0.005


def fit_reader(
    model: Reader,
    supply: Supply,
    validation: Sequence[ReaderSample],
    config: ReaderTraining,
    *,
    device: torch.device,
    identity: dict[str, Any],
    checkpoint: Path | None = None,
    on_epoch: Callable[[ReaderEpoch], None] | None = None,
) -> tuple[ReaderEpoch, ...]:
    """Train a reader on painted lesions, in place; return all epochs, also from before a stop.

    The model ends with the averaged weights, in evaluation mode, on the device. Validation samples
    are painted otherwise, and never trained on. A checkpoint is continued if it exists, and written
    after every epoch; `identity`, plain values, says what the samples are.

    Raises
    ------
    UsageError
        If the checkpoint belongs to another training, memory runs out, or the training diverges.
    KeyboardInterrupt
        After the checkpoint was written, when the training was asked to stop.
    """
    identity = {**identity, "training": asdict(config), "model": asdict(model.config)}
    with memory_advice(device):
        run = _Run(model.to(device), config, validation, device)
        if checkpoint is not None and checkpoint.exists():
            run.load_state_dict(load_checkpoint(checkpoint, identity))
        with supply(run.first_sample) as samples, stop_requests() as stop:
            run.refill(samples)
            while not run.done:
                epoch = run.advance(samples)
                if checkpoint is not None and (epoch is not None or stop):
                    save_checkpoint(checkpoint, identity, run.state_dict())
                if epoch is not None and on_epoch is not None:
                    on_epoch(epoch)
                if stop:
                    raise KeyboardInterrupt(f"Training was stopped at step {run.step}.")
        return run.finish()


class _Run:
    """State of one training between two steps."""

    def __init__(
        self,
        model: Reader,
        config: ReaderTraining,
        validation: Sequence[ReaderSample],
        device: torch.device,
    ) -> None:
        self._model, self._config, self._validation = model, config, validation
        self._device = device
        # Older GPUs only emulate it, slower than float32.
        self._bfloat16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (
            8,
            0,
        )
        self._optimiser = torch.optim.AdamW(
            model.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self._averaged = {
            name: value.detach().clone()
            for name, value in model.state_dict().items()
            if value.is_floating_point()
        }
        self.step, self._samples, self._seconds, self._waited = 0, 0, 0.0, 0.0
        self._pool: list[ReaderSample] = []
        self._in_pool = 0
        self._epochs: list[ReaderEpoch] = []
        self._totals = [0.0, 0.0]

    @property
    def first_sample(self) -> int:
        """Number of the first sample to ask for; those kept for repetition are made again."""
        return self._samples - self._in_pool

    @property
    def done(self) -> bool:
        return self._progress >= 1

    @property
    def _progress(self) -> float:
        by_steps = self.step / self._config.steps
        if self._config.minutes is None:
            return by_steps
        return max(by_steps, self._seconds / 60 / self._config.minutes)

    def refill(self, samples: Iterator[ReaderSample]) -> None:
        self._pool = list(islice(samples, self._in_pool))

    def advance(self, samples: Iterator[ReaderSample]) -> ReaderEpoch | None:
        """Make one step; the epoch if that ended one."""
        start = time.perf_counter()
        self._prepare(self._progress)
        batch = self._draw(samples)
        self._totals = [a + b for a, b in zip(self._totals, self._learn(batch), strict=True)]
        self.step += 1
        self._average()
        self._seconds += time.perf_counter() - start
        if self.step % self._config.epoch_steps and not self.done:
            return None
        return self._close_epoch()

    def finish(self) -> tuple[ReaderEpoch, ...]:
        self._model.load_state_dict({**self._model.state_dict(), **self._averaged})
        self._model.eval()
        return tuple(self._epochs)

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self._model.state_dict(),
            "averaged": self._averaged,
            "optimiser": self._optimiser.state_dict(),
            "counts": [self.step, self._samples, len(self._pool)],
            "times": [self._seconds, self._waited],
            "totals": list(self._totals),
            "epochs": [asdict(epoch) for epoch in self._epochs],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._averaged = {name: t.to(self._device) for name, t in state["averaged"].items()}
        self.step, self._samples, self._in_pool = state["counts"]
        self._seconds, self._waited = state["times"]
        self._totals = list(state["totals"])
        self._epochs = [ReaderEpoch(**epoch) for epoch in state["epochs"]]

    def _rate(self, progress: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        warm = min(1.0, (self.step + 1) / _WARM_UP)
        return self._config.learning_rate * warm * (cosine + _LEAST_RATE)

    def _prepare(self, progress: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate(progress)
        self._model.train()
        if progress >= self._config.frozen_from:
            for module in self._model.modules():
                if isinstance(module, nn.BatchNorm3d):
                    module.eval()

    def _draw(self, samples: Iterator[ReaderSample]) -> list[ReaderSample]:
        """Take new samples, and some of those that were kept, mirrored."""
        config, choice = self._config, random.Random(f"{self._config.seed}/{self.step}")
        repeated = config.repeated if len(self._pool) >= config.few else 0
        start = time.perf_counter()
        new = [
            # Kept where the network is: samples are large.
            ReaderSample(*(part.to(self._device) for part in sample))
            for sample in islice(samples, config.batch_size - repeated)
        ]
        self._waited += time.perf_counter() - start
        self._samples += len(new)
        chosen = [choice.choice(self._pool) for _ in range(repeated)]
        mirrored = [ReaderSample(*(part.flip(-3) for part in sample)) for sample in chosen]
        self._pool = (self._pool + new)[-config.kept :] if config.repeated else []
        return new + mirrored

    def _learn(self, batch: Sequence[ReaderSample]) -> tuple[float, float]:
        """Make an optimiser step; the mean losses of the batch."""
        self._optimiser.zero_grad(set_to_none=True)
        cross_entropy, dice = 0.0, 0.0
        for group, share in _groups(batch):
            inputs, label, weight = on_device(group, self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
                logits = self._model(inputs)
            loss = reader_loss(logits, label, weight)
            (share * loss.total).backward()
            cross_entropy += share * loss.cross_entropy
            dice += share * loss.dice
        if not math.isfinite(cross_entropy + dice):
            raise UsageError(
                f"The loss of step {self.step + 1} is not a finite number: the training diverged; "
                "start over with a lower learning rate."
            )
        nn.utils.clip_grad_norm_(self._model.parameters(), self._config.gradient_norm)
        self._optimiser.step()
        return cross_entropy, dice

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self._config.averaging, self.step / (self.step + 10))
        state = self._model.state_dict()
        for name, value in self._averaged.items():
            value.lerp_(state[name], 1 - decay)

    def _close_epoch(self) -> ReaderEpoch:
        self._model.eval()

        def averaged(inputs: Tensor) -> Tensor:
            logits: Tensor = functional_call(self._model, self._averaged, (inputs,))
            return logits

        found = (math.nan, math.nan)
        if self._validation:
            found = validate_reader(averaged, self._validation, self._device)
        steps = self.step - (self._epochs[-1].step if self._epochs else 0)
        epoch = ReaderEpoch(
            step=self.step,
            samples=self._samples,
            cross_entropy=self._totals[0] / steps,
            dice=self._totals[1] / steps,
            val_cross_entropy=found[0],
            val_dice=found[1],
            learning_rate=self._optimiser.param_groups[0]["lr"],
            seconds=self._seconds,
            waited=self._waited,
        )
        self._totals = [0.0, 0.0]
        self._epochs.append(epoch)
        return epoch


def _groups(batch: Sequence[ReaderSample]) -> Iterator[tuple[ReaderSample, float]]:
    """Whole volumes together, slabs by themselves; with the share of each in the batch."""
    whole = [sample for sample in batch if len(sample.inputs) == 1]
    if whole:
        joined = ReaderSample(*(torch.cat(parts) for parts in zip(*whole, strict=True)))
        yield joined, len(whole) / len(batch)
    for sample in batch:
        if len(sample.inputs) > 1:
            yield sample, 1 / len(batch)
