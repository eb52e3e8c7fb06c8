import numpy as np
import pytest
import torch

from uadbids.errors import DeviceError
from uadbids.model.config import VAEConfig
from uadbids.model.inference import reconstruct, resolve_device
from uadbids.model.vae import VAE

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
