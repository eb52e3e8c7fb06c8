import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uadbids.core.config import VAEConfig
from uadbids.core.inference import reconstruct, residual, resolve_device
from uadbids.core.lesions import tissue_level
from uadbids.core.models import VAE
from uadbids.core.support import supported
from uadbids.errors import DeviceError

CPU = torch.device("cpu")
SHAPE = (16, 24, 40)
VOLUMES = VAEConfig(3, "dense", SHAPE, channels=(4, 8), latent=8)
SLICES = VAEConfig(2, "dense", SHAPE[:2], channels=(4, 8), latent=8)


@pytest.fixture
def volume():
    return np.random.default_rng(0).random(SHAPE, dtype=np.float32)


def build(config):
    torch.manual_seed(0)
    model = VAE(config).eval()
    # Untrained outputs lie near 0: spread them, so that clamping and folding show.
    model.decoder[-1].weight.data *= 20
    return model


@pytest.mark.parametrize("config", [VOLUMES, SLICES])
def test_reconstruction_is_deterministic_clamped_and_of_the_same_grid(volume, config):
    model = build(config)
    first, again = (reconstruct(model, volume, CPU) for _ in range(2))
    assert first.shape == SHAPE and first.dtype == np.float32
    assert first.min() >= 0.0 and first.max() <= 1.0
    assert first.std() > 0
    np.testing.assert_array_equal(first, again)


def test_2d_model_sees_each_axial_slice_on_its_own(volume):
    model = build(SLICES)
    whole = reconstruct(model, volume, CPU)
    changed = volume.copy()
    changed[:, :, 7] = 0.0
    differs = (reconstruct(model, changed, CPU) != whole).any(axis=(0, 1))
    assert np.flatnonzero(differs).tolist() == [7]
    with torch.no_grad():
        exact = model.double()(torch.from_numpy(volume[None, None, :, :, 33].astype(float)))
    alone = exact.reconstruction[0, 0].numpy()
    # What float32 can hold of sums over 72 products that are as large as the largest output; how
    # they are summed depends on processor and threads.
    rounding = 72 * np.finfo(np.float32).eps * np.abs(alone).max()
    assert rounding < 1e-3
    np.testing.assert_allclose(whole[:, :, 33], alone.clip(0, 1), rtol=0, atol=rounding)


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


def test_hyperintense_residual_spares_tissue_that_is_not_bright():
    generator = np.random.default_rng(1)
    x = generator.normal(0.5, 0.02, (20, 20, 20)).astype(np.float32)
    x[4:8, 4:8, 4:8] = 0.8
    x[12:16, 12:16, 12:16] = 0.44
    rebuilt = np.full_like(x, 0.5)
    rebuilt[12:16, 12:16, 12:16] = 0.2  # a large residual, but darker than the scan's tissue
    found = residual(x, rebuilt, np.ones(x.shape, dtype=bool), "hyperintense")
    assert found[4:8, 4:8, 4:8].min() == pytest.approx(0.6, abs=1e-3)
    assert not found[12:16, 12:16, 12:16].any()


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
    found = residual(x, rebuilt, mask, "excess")
    median, spread = tissue_level(x, mask)
    alone = (0.8 - median) / spread
    assert found[5, 5, 5] == pytest.approx(alone, rel=1e-4)
    assert found[13, 5, 5] == pytest.approx((0.8 - 0.7) / spread, rel=1e-4)
    assert found[5, 13, 5] == pytest.approx(alone, rel=1e-4)
    assert not found[x < median].any()


def test_supported_is_the_excess_above_what_is_normal_raised_where_it_was_looked_for():
    x, mask = three_blocks()
    rebuilt = np.full_like(x, 0.5)
    examined = mask.copy()
    examined[:, 10:] = False  # the third block is not looked at
    median, spread = tissue_level(x, mask)
    normal = np.zeros_like(x)
    normal[12:16, 4:8, 4:8] = 0.5 * (0.8 - median) / spread  # half of it is normal there
    found = residual(x, rebuilt, mask, "supported", examined=examined, normal=normal)
    excess = residual(x, rebuilt, mask, "excess")
    reduced = np.maximum(excess - normal, 0)
    np.testing.assert_allclose(found, supported(reduced, examined), rtol=1e-5)
    assert found[13, 5, 5] < found[5, 5, 5] and not found[~examined].any()
    everywhere = residual(x, rebuilt, mask, "supported")
    np.testing.assert_allclose(everywhere, supported(excess, mask), rtol=1e-6)


@given(scale=st.floats(0.3, 3.0), seed=st.integers(0, 99), smoothing=st.sampled_from([0.0, 0.8]))
def test_excess_does_not_depend_on_the_scale_of_both(scale, seed, smoothing):
    generator = np.random.default_rng(seed)
    x, rebuilt = generator.gamma(9.0, 0.05, (2, 10, 10, 10)).astype(np.float32)
    mask = generator.random(x.shape) < 0.8
    found = residual(x * mask, rebuilt * mask, mask, "excess", smoothing)
    scaled = residual(scale * x * mask, scale * rebuilt * mask, mask, "excess", smoothing)
    np.testing.assert_allclose(scaled, found, rtol=1e-3, atol=1e-3)
    assert found.min() >= 0.0 and not found[~mask].any()
    # To expect more can only take away.
    more = residual(x * mask, (rebuilt + 0.1) * mask, mask, "excess", smoothing)
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


def test_devices_that_are_there():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda0", "mps", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(DeviceError, match="auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_missing_gpu_is_told_with_advice():
    with pytest.raises(DeviceError, match="--device cpu"):
        resolve_device("cuda:99")
