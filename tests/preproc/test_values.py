"""Values that are no measurements, put into the packaged example scan."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from uadbids.preproc.values import from_zero, measured_range


@pytest.fixture(scope="module")
def scan(example_flair):
    """Every other voxel of the example, and the corners outside of a round field of view."""
    data = np.asarray(nib.load(example_flair).dataobj, dtype=np.float32)[::2, ::2]
    i, j = np.ogrid[: data.shape[0], : data.shape[1]]
    corners = np.hypot(i - 63.5, j - 63.5) > 62
    return data, np.broadcast_to(corners[..., None], data.shape)


@pytest.fixture(scope="module")
def spikes(scan):
    """Thirty voxels inside the head."""
    inside = np.argwhere(scan[0] > 60)
    return tuple(inside[np.random.default_rng(0).choice(len(inside), 30, replace=False)].T)


def z_scored(data):
    return (data - data.mean()) / data.std()


def cleaned(data):
    return from_zero(data.astype(np.float32), Path("scan.nii"))


@pytest.mark.parametrize("padding", [-1, -50, -300, -1024, -32768, 255, 1000, 32767])
def test_padding_becomes_air_and_tissue_keeps_its_values(padding, scan):
    data, corners = scan
    found, count, warnings = cleaned(np.where(corners, padding, data))
    np.testing.assert_array_equal(found, np.where(corners, 0, data))
    assert count == corners.sum()
    # A value close to air is not worth a warning.
    assert len(warnings) == (not -60 < padding < 0)
    for sentence in warnings:
        assert sentence == (
            f"{count} voxels with values from {padding} to {padding} are no measurements "
            "(padding, or single faults) and were set to the level of air"
        )


def test_padding_is_found_beside_air_below_zero(scan):
    data, corners = scan
    for shifted, padding in ((z_scored(data), -1024), (data - 1024, -32768)):
        found, _, warnings = cleaned(np.where(corners, padding, shifted))
        np.testing.assert_allclose(found[~corners], (shifted - shifted.min())[~corners], atol=1e-3)
        assert (found[corners] == 0).all() and len(warnings) == 1


@pytest.mark.parametrize("order", [1, 3])
def test_padding_is_found_after_interpolation(order, scan):
    data, corners = scan

    def moved(image):
        return ndimage.shift(image, (0.4, 0.3, 0.2), order=order, mode="nearest")

    found, *_ = cleaned(moved(np.where(corners, np.float32(-1024), data)))
    # Where padding was mixed in nothing can be told any more.
    away = ~ndimage.binary_dilation(corners, iterations=8)
    np.testing.assert_allclose(found[away], moved(data).clip(0)[away], atol=1)


@pytest.mark.parametrize("value", [-5, -1024, -32768, 700, 7100, 60000, 1e9])
def test_single_faults_become_air_also_inside_the_head(value, scan, spikes):
    data, _ = scan
    faulty = data.copy()
    faulty[spikes] = value
    found, count, warnings = cleaned(faulty)
    assert (found[spikes] == 0).all() and count == 30
    found[spikes] = data[spikes]
    np.testing.assert_array_equal(found, data)
    assert len(warnings) == (value != -5)


def test_faults_in_a_padded_image_are_found(scan, spikes):
    data, corners = scan
    faulty = np.where(corners, -1024, data)
    faulty[spikes] = [-1500] * 15 + [60000] * 15
    found, count, _ = cleaned(faulty)
    assert count == corners.sum() + 30 and found.max() == data.max()
    left = ~corners
    left[spikes] = False
    np.testing.assert_array_equal(found[left], data[left])


@pytest.mark.parametrize(
    "change",
    [z_scored, lambda x: x - 100, lambda x: x - 1024, lambda x: x / 112.5 - 1],
    ids=["z-scored", "lowered", "hounsfield", "from -1 to 1"],
)
def test_air_below_zero_is_shifted_with_all_tissue(change, scan):
    data = change(scan[0])
    found, count, warnings = cleaned(data)
    np.testing.assert_allclose(found, data - data.min(), rtol=1e-6)
    assert count == 0 and warnings == []


def test_swings_below_zero_are_cut_and_lift_nothing(scan):
    noise = np.random.default_rng(0).normal(0, 1, scan[0].shape)
    moved = ndimage.shift(scan[0], (0.4, 0.3, 0.2), order=3)
    for data in (scan[0] + 3 * noise, scan[0] + 12 * noise, moved):
        found, count, warnings = cleaned(data)
        np.testing.assert_allclose(found, data.clip(0), atol=1e-3)
        assert count > 0 and warnings == []


def test_a_lesion_three_times_as_bright_as_the_rest_is_a_measurement(scan):
    data = scan[0].copy()
    data[65:70, 65:70, 22] = 3 * np.quantile(data, 0.999)
    assert not measured_range(data).lacks(data).any()


def test_a_z_scored_brain_keeps_its_background(scan):
    data = scan[0]
    brain = data > 35
    scored = (data - data[brain].mean()) / data[brain].std()
    for background in (float(scored.min()) - 1, 0.0):
        image = np.where(brain, scored, background)
        found, count, _ = cleaned(image)
        np.testing.assert_allclose(found, image - image.min(), atol=1e-5)
        assert count == 0
