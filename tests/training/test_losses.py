import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uadbids.model.vae import VAEOutput
from uadbids.training.losses import (
    ACTIVE_NATS,
    CollapseRobustLoss,
    cyclical_beta,
    kl_divergence,
    kl_per_unit,
)


def output_of(value, mean=0.0, logvar=0.0, size=4):
    return VAEOutput(
        torch.full((1, 1, size, size), value, requires_grad=True),
        torch.full((1, 3), mean, requires_grad=True),
        torch.full((1, 3), logvar, requires_grad=True),
    )


def test_kl_agrees_with_torch_distributions():
    mean, logvar = torch.randn(5, 7), torch.randn(5, 7)
    prior = torch.distributions.Normal(0.0, 1.0)
    code = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(code, prior)
    torch.testing.assert_close(kl_divergence(mean, logvar), expected.mean())
    torch.testing.assert_close(kl_divergence(mean, logvar, "sum"), expected.sum(dim=1).mean())


def test_kl_of_single_units_and_which_of_them_are_active():
    # KL of a unit with logvar 0 is mean^2 / 2.
    mean = torch.tensor([[0.0, 0.1, math.sqrt(0.0199), math.sqrt(0.0201), 2.0]])
    kl = kl_per_unit(mean, torch.zeros_like(mean))
    torch.testing.assert_close(kl, torch.tensor([0.0, 0.005, 0.00995, 0.01005, 2.0]))
    assert (kl > ACTIVE_NATS).tolist() == [False, False, False, True, True]
    assert kl_per_unit(torch.zeros(4, 8, 2, 2), torch.zeros(4, 8, 2, 2)).shape == (8, 2, 2)


def test_beta_over_two_and_a_half_cycles_by_hand():
    first_half = [0.04 * t for t in range(25)]
    cycle = [*first_half, *[1.0] * 25]
    expected = [*cycle, *cycle, *first_half]
    assert [cyclical_beta(t) for t in range(125)] == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_beta_is_periodic_and_a_weight(iteration, period):
    beta = cyclical_beta(iteration, period)
    assert 0.0 <= beta <= 1.0
    assert beta == cyclical_beta(iteration + period, period)
    assert cyclical_beta(period * (iteration + 1) - 1, period) == (1.0 if period > 1 else 0.0)


def test_sigma_is_the_mean_of_the_last_values_and_the_present_one():
    loss, target = CollapseRobustLoss(window=3), torch.zeros(1, 1, 4, 4)
    sigmas = [loss(output_of(value), target).sigma for value in (3.0, 5.0, 10.0, 0.0)]
    assert sigmas == [3.0, 4.0, 6.0, 5.0]


def test_loss_and_sigma_over_120_steps_by_hand():
    loss = CollapseRobustLoss()
    values = [1.0 / (1 + t) for t in range(120)]
    for t, value in enumerate(values):
        terms = loss(output_of(value, mean=1.0), torch.zeros(1, 1, 4, 4))
        window = values[max(0, t - 9) : t + 1]
        sigma = sum(window) / len(window)
        beta = 2 * (t % 50) / 50 if t % 50 < 25 else 1.0
        assert terms.reconstruction == pytest.approx(value)
        assert terms.beta == pytest.approx(beta)
        assert terms.total.item() == pytest.approx(value / sigma + beta * 0.5, rel=1e-5)


def test_no_gradient_flows_through_sigma():
    output = output_of(0.5)
    CollapseRobustLoss()(output, torch.zeros(1, 1, 4, 4)).total.backward()
    # d(L1 / Sigma)/dx = (1 / 16) / 0.5 per voxel; with Sigma attached it would be 0.
    torch.testing.assert_close(output.reconstruction.grad, torch.full((1, 1, 4, 4), 0.125))


def test_voxels_of_weight_zero_do_not_count():
    weight = torch.ones(1, 1, 4, 4)
    weight[..., 0] = 0
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0] = 100.0
    terms = CollapseRobustLoss()(output_of(0.25), target, weight)
    assert terms.reconstruction == pytest.approx(0.25)


def test_exact_reconstruction_and_empty_weight_stay_finite():
    target = torch.zeros(1, 1, 4, 4)
    exact = CollapseRobustLoss()(output_of(0.0), target)
    empty = CollapseRobustLoss()(output_of(0.5), target, torch.zeros_like(target))
    assert torch.isfinite(exact.total)
    assert torch.isfinite(empty.total)


@pytest.mark.parametrize("done", [1, 9, 30, 70])
def test_restored_loss_continues_like_the_first(done):
    target = torch.zeros(1, 1, 4, 4)
    first, second = CollapseRobustLoss(), CollapseRobustLoss()
    for t in range(done):
        first(output_of(1.0 / (1 + t)), target)
    second.load_state_dict(first.state_dict())
    for value in (0.3, 0.1, 0.7):
        a, b = (loss(output_of(value, mean=0.4), target) for loss in (first, second))
        assert (a.total.item(), a.beta) == (b.total.item(), b.beta)
