import numpy as np
import pytest

from uadbids.detection.hyperintensity import fill, hyperintense, robust_z

SHAPE = (60, 64, 50)


def ball(centre, radius):
    grid = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
    return np.sqrt((grid**2).sum(axis=0)) <= radius


@pytest.fixture
def scan():
    """Brain of two tissues, fluid in the middle, noise; and a bright lesion."""
    generator = np.random.default_rng(3)
    mask = ball((30, 32, 25), 22)
    volume = np.where(np.indices(SHAPE)[1] > 32, 0.55, 0.5) * mask
    volume[ball((30, 32, 25), 5)] = 0.1
    lesion = ball((30, 42, 25), 4)
    volume[lesion] = 0.85
    volume += mask * generator.normal(0, 0.02, SHAPE)
    return volume.astype(np.float32), mask, lesion


def test_robust_z_ignores_fluid_lesion_and_scale(scan):
    volume, mask, lesion = scan
    z = robust_z(volume, mask)
    assert abs(float(np.median(z[mask & (volume > 0.4) & ~lesion]))) < 0.2
    assert float(z[lesion].mean()) > 5
    assert not z[~mask].any()
    np.testing.assert_allclose(robust_z(volume * 40, mask), z, rtol=1e-3, atol=1e-4)


def test_robust_z_of_nothing_or_of_flat_tissue_is_zero():
    mask = np.ones((4, 4, 4), dtype=bool)
    assert not robust_z(np.full((4, 4, 4), 0.5), mask).any()
    assert not robust_z(np.full((4, 4, 4), 0.5), ~mask).any()


def test_detector_finds_the_lesion_and_little_else(scan):
    volume, mask, lesion = scan
    found = hyperintense(volume, mask, 4.0)
    assert found[lesion].mean() > 0.99
    # The rest is the seam around the lesion: one voxel, and a few noisy ones that touch it.
    assert found.sum() < 1.2 * ball((30, 42, 25), 6.5).sum()
    assert not (found & ~ball((30, 42, 25), 11)).any()


def test_detector_leaves_the_rim_and_specks_alone(scan):
    volume, mask, lesion = scan
    rim = mask & ~ball((30, 32, 25), 20)
    volume[rim] = 0.9
    volume[30, 20, 25] = 0.9
    found = hyperintense(volume, mask, 4.0)
    assert not found[rim].any()
    assert not found[30, 20, 25]
    assert found[lesion].any()


def test_filled_lesion_looks_like_the_tissue_around(scan):
    volume, mask, lesion = scan
    hole = lesion | ball((30, 42, 25), 5)
    filled = fill(volume, mask, hole, np.random.default_rng(0))
    assert filled[lesion].mean() == pytest.approx(0.55, abs=0.02)
    assert 0.01 < filled[lesion].std() < 0.05
    np.testing.assert_array_equal(filled[~hole], volume[~hole])
    assert volume[lesion].mean() > 0.8  # the input is left alone


def test_filling_is_seeded(scan):
    volume, mask, lesion = scan
    first, again, other = (fill(volume, mask, lesion, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other)[lesion].any()


def test_large_lesions_are_filled_to_their_middle(scan):
    volume, mask, _ = scan
    large = ball((18, 32, 25), 9) & mask
    volume[large] = 0.95
    filled = fill(volume, mask, large, np.random.default_rng(0))
    assert filled[large].max() < 0.7
    assert filled[large].min() > 0.4


def test_nothing_to_fill_or_nothing_to_fill_with_is_a_copy(scan):
    volume, mask, _ = scan
    nothing = np.zeros(SHAPE, dtype=bool)
    for lesions in (nothing, mask):
        filled = fill(volume, mask, lesions, np.random.default_rng(0))
        np.testing.assert_array_equal(filled, volume)
        assert filled is not volume


def test_detector_takes_the_blurred_edge_along(scan):
    volume, mask, _ = scan
    distance = np.sqrt(((np.indices(SHAPE) - np.reshape((30, 42, 25), (3, 1, 1, 1))) ** 2).sum(0))
    volume[mask] += (0.3 * np.clip((6.5 - distance) / 4.0, 0.0, 1.0))[mask]
    found = hyperintense(volume, mask, 4.0)
    assert found[distance <= 6.0].all()
