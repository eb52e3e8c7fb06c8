"""The collapse-robust loss of the paper (section 2.2, equation 2), its parts, and validation."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uadbids.model.config import Reduction
from uadbids.model.vae import VAE, VAEOutput, as_images
from uadbids.training.distributed import World
from uadbids.training.samples import Sample, as_batch

ACTIVE_NATS = 0.01
"""A latent unit whose KL stays below this many nats carries nothing (docs/method.md, 1)."""


def kl_per_unit(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence from N(0, 1) of every latent unit, in nats, (...) of a code (B, ...)."""
    mean, logvar = mean.float(), logvar.float()
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean(dim=0)


def kl_divergence(mean: Tensor, logvar: Tensor, reduction: Reduction = "mean") -> Tensor:
    """KL divergence of the code from the standard normal prior (equation 1), in nats.

    The paper does not name the reduction. With L1 / Sigma the data term is one number near 1;
    a KL summed over hundreds of units would outweigh it and collapse the code, hence ``mean`` over
    the latent units; the batch is always averaged.
    """
    per_unit = kl_per_unit(mean, logvar)
    return per_unit.mean() if reduction == "mean" else per_unit.sum()


def cyclical_beta(iteration: int, period: int = 50) -> float:
    """Weight of the KL term: 2t/T on the first half of a cycle, 1 on the second (equation 2).

    ``iteration`` t counts optimiser steps from 0; ``period`` is T.
    """
    return min(1.0, 2.0 * (iteration % period) / period)


class LossTerms(NamedTuple):
    """The loss, to be minimised, and its parts."""

    total: Tensor  # scalar
    reconstruction: float  # weighted mean absolute error
    kl: float  # nats
    beta: float  # weight of the KL in [0, 1]
    sigma: float  # divisor of the error


class CollapseRobustLoss:
    """``L1 / Sigma + beta(t) KL`` (equation 2), with t and Sigma's buffer as its state.

    Sigma, the mean of the last L values of L1, the present one included, is a plain number: no
    gradient flows through it. ``period`` is the cycle length T of beta in steps, ``window`` is L;
    ``average`` is the mean of a tensor over the processes that share a batch, whose Sigma is that
    of the whole.
    """

    def __init__(
        self,
        period: int = 50,
        window: int = 10,
        kl_reduction: Reduction = "mean",
        average: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._period = period
        self._average = average
        self._kl_reduction: Reduction = kl_reduction
        self._recent: deque[float] = deque(maxlen=window)
        self._iteration = 0

    def __call__(
        self, output: VAEOutput, target: Tensor, weight: Tensor | None = None
    ) -> LossTerms:
        """Loss of one optimiser step; counts the step.

        Target and weights have the shape of the reconstruction, (B, 1, ...). The voxel weights of
        the L1 mean are not negative; all are equal when left out.
        """
        l1 = _weighted_mean((output.reconstruction.float() - target).abs(), weight)
        kl = kl_divergence(output.mean, output.logvar, self._kl_reduction)
        beta = cyclical_beta(self._iteration, self._period)
        parts = torch.stack([l1.detach(), kl.detach()])
        mean_l1, mean_kl = (parts if self._average is None else self._average(parts)).tolist()
        self._recent.append(mean_l1)
        # An exactly reconstructed batch must not divide by zero.
        sigma = max(sum(self._recent) / len(self._recent), torch.finfo(torch.float32).tiny)
        self._iteration += 1
        return LossTerms(l1 / sigma + beta * kl, mean_l1, mean_kl, beta, sigma)

    def state_dict(self) -> dict[str, Any]:
        """Return iteration t and Sigma's buffer, as plain values."""
        return {"iteration": self._iteration, "sigma": {"values": list(self._recent)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where another loss stopped."""
        self._iteration = int(state["iteration"])
        self._recent.clear()
        self._recent.extend(state["sigma"]["values"])


def _weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values.mean()
    return (values * weight).sum() / weight.sum().clamp_min(torch.finfo(torch.float32).tiny)


@torch.no_grad()
def validate(model: VAE, samples: Sequence[Sample], world: World) -> tuple[float, int]:
    """Error inside the brain and active units, from clean inputs and mean codes.

    The mean absolute error, averaged over the samples (at least one; each process takes its part),
    and the number of latent units with more than `ACTIVE_NATS`. The model is left in evaluation
    mode.
    """
    model.eval()
    config = model.config
    code = config.code_shape if config.bottleneck == "spatial" else ()
    kl = torch.zeros((config.latent, *code), device=world.device)
    error = torch.zeros(1, device=world.device)
    for sample in samples[world.rank :: world.size]:
        batch = as_batch(sample, world.device)
        inputs = as_images(config, batch.volume)
        output = model(inputs)
        inside = as_images(config, batch.mask * batch.weight) > 0
        error += (output.reconstruction - inputs).abs()[inside].mean()
        kl += kl_per_unit(output.mean, output.logvar)
    # Sums of all processes: they must agree on which epoch was the best.
    mean_kl = world.add(kl) / len(samples)
    return float(world.add(error)) / len(samples), int((mean_kl > ACTIVE_NATS).sum())
