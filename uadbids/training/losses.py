"""The collapse-robust loss of the paper (section 2.2, equation 2) and its parts."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uadbids.model.config import Reduction
from uadbids.model.vae import VAEOutput

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


class MovingMean:
    """Mean of the last L values, the present one included: Sigma of equation 2."""

    def __init__(self, length: int = 10) -> None:
        self._values: deque[float] = deque(maxlen=length)

    def update(self, value: float) -> float:
        """Add a value and return the mean of those kept."""
        self._values.append(value)
        return sum(self._values) / len(self._values)

    def state_dict(self) -> dict[str, list[float]]:
        """Values kept, oldest first."""
        return {"values": list(self._values)}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Take over the values of another one."""
        self._values.clear()
        self._values.extend(state["values"])


class LossTerms(NamedTuple):
    """The loss and its parts.

    Attributes
    ----------
    total : Tensor, scalar
        To be minimised.
    reconstruction, kl, beta, sigma : float
        Weighted mean absolute error; KL in nats; weight of the KL in [0, 1]; divisor of the
        error.
    """

    total: Tensor
    reconstruction: float
    kl: float
    beta: float
    sigma: float


class CollapseRobustLoss:
    """``L1 / Sigma + beta(t) KL`` (equation 2), with t and Sigma's buffer as its state.

    Sigma is a plain number: no gradient flows through it.

    Parameters
    ----------
    period : int
        Cycle length T of beta in steps.
    window : int
        Number L of reconstruction values in Sigma.
    kl_reduction : {'mean', 'sum'}
        See `kl_divergence`.
    average : callable, optional
        Mean of a tensor over the processes that share a batch: Sigma is that of the whole batch.
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
        self._sigma = MovingMean(window)
        self._iteration = 0

    def __call__(
        self, output: VAEOutput, target: Tensor, weight: Tensor | None = None
    ) -> LossTerms:
        """Loss of one optimiser step; counts the step.

        Parameters
        ----------
        output : VAEOutput
            Reconstruction and code of the step's batch.
        target : Tensor, shape (B, 1, ...)
            What should have been reconstructed.
        weight : Tensor, shape of the target, optional
            Voxel weights of the L1 mean, not negative; all equal when left out.

        Returns
        -------
        LossTerms
            The loss and its parts.
        """
        l1 = _weighted_mean((output.reconstruction.float() - target).abs(), weight)
        kl = kl_divergence(output.mean, output.logvar, self._kl_reduction)
        beta = cyclical_beta(self._iteration, self._period)
        parts = torch.stack([l1.detach(), kl.detach()])
        mean_l1, mean_kl = (parts if self._average is None else self._average(parts)).tolist()
        # An exactly reconstructed batch must not divide by zero.
        sigma = max(self._sigma.update(mean_l1), torch.finfo(torch.float32).tiny)
        self._iteration += 1
        return LossTerms(l1 / sigma + beta * kl, mean_l1, mean_kl, beta, sigma)

    def state_dict(self) -> dict[str, Any]:
        """Return iteration t and Sigma's buffer, as plain values."""
        return {"iteration": self._iteration, "sigma": self._sigma.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where another loss stopped."""
        self._iteration = int(state["iteration"])
        self._sigma.load_state_dict(state["sigma"])


def _weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values.mean()
    return (values * weight).sum() / weight.sum().clamp_min(torch.finfo(torch.float32).tiny)
