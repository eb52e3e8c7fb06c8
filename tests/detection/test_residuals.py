from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.detection.hyperintensity import tissue_level
from uadbids.detection.residuals import RESIDUALS, residual, residual_of
from uadbids.detection.tfce import enhance
from uadbids.errors import UsageError
from uadbids.model.config import ResidualKind


def test_kinds_of_residual():
    x = np.array([0.9, 0.2, 0.5]).reshape(3, 1, 1)
    rebuilt = np.array([0.4, 0.6, 0.0]).reshape(3, 1, 1)
    mask = np.array([True, True, False]).reshape(3, 1, 1)
    for kind, expected in [
        ("signed", [0.5, -0.4, 0.0]),
        ("abs", [0.5, 0.4, 0.0]),
        ("positive", [0.5, 0.0, 0.0]),
    ]:
        found = residual(x, rebuilt, mask, kind)
        np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)
    with pytest.raises(ValueError, match="not known"):
        residual(x, rebuilt, mask, "squared")


def three_blocks():
    """Noise of tissue with three bright blocks, and the mask of all of it."""
    generator = np.random.default_rng(3)
    x = generator.normal(0.5, 0.02, (20, 20, 20)).astype(np.float32)
    x[4:8, 4:8, 4:8] = x[12:16, 4:8, 4:8] = x[4:8, 12:16, 4:8] = 0.8
    return x, np.ones(x.shape, dtype=bool)


def test_excess_is_what_neither_the_scan_nor_the_reconstruction_explains():
    x, mask = three_blocks()
    rebuilt = np.full_like(x, 0.5)
    rebuilt[12:16, 4:8, 4:8] = 0.7  # bright there in healthy brains, too
    rebuilt[4:8, 12:16, 4:8] = 0.1  # a blurred sulcus
    found = residual(x, rebuilt, mask, "excess-z")
    median, spread = tissue_level(x, mask)
    alone = (0.8 - median) / spread
    assert found[5, 5, 5] == pytest.approx(alone, rel=1e-4)
    assert found[13, 5, 5] == pytest.approx((0.8 - 0.7) / spread, rel=1e-4)
    assert found[5, 13, 5] == pytest.approx(alone, rel=1e-4)
    assert not found[x < median].any()


def test_tfce_is_the_excess_above_what_is_normal_raised_where_it_was_looked_for():
    x, mask = three_blocks()
    rebuilt = np.full_like(x, 0.5)
    examined = mask.copy()
    examined[:, 10:] = False  # the third block is not looked at
    median, spread = tissue_level(x, mask)
    normal = np.zeros_like(x)
    normal[12:16, 4:8, 4:8] = 0.5 * (0.8 - median) / spread  # half of it is normal there
    found = residual(x, rebuilt, mask, "tfce", examined=examined, normal=normal)
    excess = residual(x, rebuilt, mask, "excess-z")
    reduced = np.maximum(excess - normal, 0)
    np.testing.assert_allclose(found, enhance(reduced, examined), rtol=1e-5)
    assert found[13, 5, 5] < found[5, 5, 5] and not found[~examined].any()
    everywhere = residual(x, rebuilt, mask, "tfce")
    np.testing.assert_allclose(everywhere, enhance(excess, mask), rtol=1e-6)


@given(scale=st.floats(0.3, 3.0), seed=st.integers(0, 99), smoothing=st.sampled_from([0.0, 0.8]))
def test_excess_does_not_depend_on_the_scale_of_both(scale, seed, smoothing):
    generator = np.random.default_rng(seed)
    x, rebuilt = generator.gamma(9.0, 0.05, (2, 10, 10, 10)).astype(np.float32)
    mask = generator.random(x.shape) < 0.8
    found = residual(x * mask, rebuilt * mask, mask, "excess-z", smoothing)
    scaled = residual(scale * x * mask, scale * rebuilt * mask, mask, "excess-z", smoothing)
    np.testing.assert_allclose(scaled, found, rtol=1e-3, atol=1e-3)
    assert found.min() >= 0.0 and not found[~mask].any()
    # To expect more can only take away.
    more = residual(x * mask, (rebuilt + 0.1) * mask, mask, "excess-z", smoothing)
    assert (more <= found).all()


def test_smoothing_keeps_a_constant_up_to_the_rim():
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[3:17, 3:17, 3:17] = True
    found = residual(0.3 * mask, 0.1 * mask, mask, "positive", smoothing_mm=2.0)
    np.testing.assert_allclose(found[mask], 0.2, atol=1e-5)
    assert not found[~mask].any()


def test_smoothing_averages_noise_before_the_positive_part_is_taken():
    noise = np.random.default_rng(2).normal(0, 0.1, (30, 30, 30))
    mask = np.ones(noise.shape, dtype=bool)
    raw, smooth = (residual(noise, 0 * noise, mask, "positive", s).mean() for s in (0.0, 1.5))
    assert smooth < 0.25 * raw


def test_cards_may_name_every_kind_of_the_registry_and_no_other():
    assert tuple(RESIDUALS) == get_args(ResidualKind)


@pytest.mark.parametrize("kind", [k for k in RESIDUALS if not RESIDUALS[k].needs_reader])
def test_only_kinds_that_need_place_look_at_what_is_normal_there(kind):
    mask = np.ones((12, 12, 12), dtype=bool)
    x, rebuilt = np.random.default_rng(0).random((2, *mask.shape), dtype=np.float32)
    normal = np.full(mask.shape, 0.7, dtype=np.float32)
    same = np.array_equal(
        residual(x, rebuilt, mask, kind), residual(x, rebuilt, mask, kind, normal=normal)
    )
    assert same is not RESIDUALS[kind].needs_place


def test_a_sidecar_of_another_version_is_refused():
    assert residual_of({}) is RESIDUALS["positive"]
    assert residual_of({"ResidualKind": "tfce"}) is RESIDUALS["tfce"]
    with pytest.raises(UsageError, match="no residual 'supported' in this version"):
        residual_of({"ResidualKind": "supported"})
