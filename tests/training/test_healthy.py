"""Healthy brains: what is kept of a scan, and the calibration on several models."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uadbids.errors import UsageError
from uadbids.evaluation.baselines import Reference
from uadbids.model.config import DetectionConfig, VAEConfig
from uadbids.model.grid import Crop
from uadbids.model.vae import VAE
from uadbids.training.healthy import Healthy, calibrate_on, load_healthy, save_healthy

SHAPE = (16, 16, 12)
CROP = Crop((0, 0, 2), (16, 16, 8))
PLAIN = DetectionConfig(residual="positive", smoothing_mm=0.0, erosion_mm=0.0)
CPU = torch.device("cpu")


@settings(max_examples=25)
@given(
    arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32)),
    arrays(bool, SHAPE),
    arrays(bool, SHAPE),
)
def test_not_one_value_is_lost(tmp_path_factory, values, mask, lesions):
    path = tmp_path_factory.getbasetemp() / "kept" / "one.npz"
    scan = Healthy("07", np.where(mask, values, 0), mask, mask & lesions, "deepbet")
    save_healthy(scan, path)
    back = load_healthy(path)
    assert (back.subject, back.brain_mask_method) == ("07", "deepbet")
    np.testing.assert_array_equal(back.volume, scan.volume)
    np.testing.assert_array_equal(back.mask, scan.mask)
    np.testing.assert_array_equal(back.excluded, scan.excluded)
    assert back.volume.dtype == np.float32 and back.mask.dtype == bool
    assert [file.name for file in path.parent.iterdir()] == ["one.npz"]


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "sub-01.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"sub-01\.npz is damaged .* remove it"):
        load_healthy(path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "sub-01.npz"
    np.savez(path, shape=np.array([object()], dtype=object))
    with pytest.raises(UsageError, match="damaged"):
        load_healthy(path)


class Constant(VAE):
    """Reconstructs every brain as one value."""

    def __init__(self, value: float) -> None:
        super().__init__(VAEConfig(3, "spatial", (16, 16, 8), (2,), 2))
        self.value = value

    def forward(self, x, generator=None):
        output = super().forward(x, generator)
        return output._replace(reconstruction=torch.full_like(x, self.value))


def brain(value: float, subject: str) -> Healthy:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:14, 2:14, 2:10] = True
    excluded = np.zeros(SHAPE, dtype=bool)
    excluded[4:6, 4:6, 4:6] = True
    volume = np.where(mask, value, 0).astype(np.float32)
    volume[excluded] = 1
    return Healthy(subject, volume, mask, excluded)


def test_each_scan_meets_its_own_model_and_lesions_do_not_count():
    near, far = Constant(0.5).eval(), Constant(0.2).eval()
    scans = [(brain(0.5, "a"), near), (brain(0.5, "a"), near), (brain(0.5, "b"), far)]
    calibration = calibrate_on(iter(scans), CROP, PLAIN, CPU)
    healthy = int((scans[0][0].mask & ~scans[0][0].excluded).sum())
    assert calibration.n_voxels == 3 * healthy
    assert calibration.n_subjects == 2
    # A third of the voxels has a residual of 0.3, the lesions' 0.5 is nowhere.
    assert calibration.threshold(0.5) == 0
    assert calibration.threshold(0.1) == pytest.approx(0.3)
    assert calibration.residuals[-1] == pytest.approx(0.3)


def test_maps_of_healthy_scans_are_gathered_voxel_by_voxel():
    model, maps = Constant(0.2).eval(), Reference(SHAPE)
    scans = [(brain(0.4, "a"), model), (brain(0.6, "b"), model)]
    calibrate_on(iter(scans), CROP, PLAIN, CPU, maps=maps)
    assert maps.mean[8, 8, 5] == pytest.approx(0.3)
    assert maps.spread[8, 8, 5] == pytest.approx(0.2 / 2**0.5)
    # What is left out of the loss tells nothing of healthy brains.
    assert maps.mean[4, 4, 4] == 0 and maps.mean[0, 0, 0] == 0


def test_sample_is_the_crop_in_8_bits():
    scan = replace(brain(0.5, "a"))
    sample = scan.sample(CROP)
    assert sample.volume.shape == (16, 16, 8)
    assert sample.volume.dtype == torch.uint8
    assert sample.volume[8, 8, 4] == 128
    assert not sample.weight[4, 4, 2]
    assert sample.weight[8, 8, 4]
