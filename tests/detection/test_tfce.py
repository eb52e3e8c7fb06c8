"""Threshold-free cluster enhancement of the excess."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uadbids.detection.tfce import enhance


def coarse(values):
    """Cubes of 11 mm, so that some clusters are large enough to count."""
    return values.repeat(11, axis=0).repeat(11, axis=1).repeat(11, axis=2)


MAPS = arrays(np.float32, (3, 4, 3), elements=st.floats(0, 20, width=32)).map(coarse)
MASKS = arrays(np.bool_, (3, 4, 3)).map(coarse)


def block(size, height, shape=(24, 24, 24)):
    excess = np.zeros(shape, dtype=np.float32)
    excess[2 : 2 + size, 2 : 2 + size, 2 : 2 + size] = height
    return excess


def brute_force(excess, within):
    """Add up thin slabs, as the integral of the paper stands."""
    from scipy import ndimage

    total = np.zeros(excess.shape)
    thin = 0.001
    for height in np.arange(1.0, 12.0, 0.25):
        labels, _ = ndimage.label((excess > height) & within)
        extent = np.bincount(labels.ravel())
        extent[0] = 0
        for h in np.arange(height, height + 0.25, thin) + thin / 2:
            total += np.sqrt(extent[labels]) * (excess > h) * h**2 * thin
    raised = np.cbrt(1 + 3 * total)
    return np.where(within, np.where(excess > 1, np.maximum(raised / 4, excess), excess), 0)


def test_a_voxel_alone_keeps_its_height():
    for height in (0.4, 1.0, 1.1, 3.0, 7.77, 11.9, 30.0):
        found = enhance(block(1, height), np.ones((24, 24, 24), bool))
        assert found[2, 2, 2] == pytest.approx(height, rel=1e-6)
        assert np.count_nonzero(found) == 1


def test_small_clusters_keep_their_height_and_large_ones_count_more():
    small = enhance(block(10, 6.0), np.ones((24, 24, 24), bool))
    assert (small == block(10, 6.0)).all()
    large = enhance(block(21, 6.0), np.ones((24, 24, 24), bool))
    assert large[5, 5, 5] == pytest.approx(6 * 9261 ** (1 / 6) / 4, rel=0.01)


def test_it_is_the_integral_over_all_heights():
    draw = np.random.default_rng(0)
    excess = draw.gamma(4.0, 1.0, (20, 22, 21)).astype(np.float32)
    within = draw.random(excess.shape) > 0.1
    found = enhance(excess, within)
    assert (found > 1.01 * excess)[within].mean() > 0.1
    np.testing.assert_allclose(found, brute_force(excess, within), rtol=0.01)


def test_the_faint_border_of_a_large_lesion_outweighs_a_small_one():
    excess = block(30, 2.5, (40, 40, 40))
    excess[10:20, 10:20, 10:20] = 6
    excess[36, 36, 36] = 3.0
    found = enhance(excess, np.ones(excess.shape, bool))
    assert found[2, 2, 2] > found[36, 36, 36] == 3.0


@settings(deadline=None, max_examples=25)
@given(excess=MAPS, within=MASKS)
def test_nothing_is_lost_and_nothing_appears(excess, within):
    found = enhance(excess, within)
    assert found.dtype == np.float32
    assert (found[~within] == 0).all()
    assert (found[within] >= excess[within]).all()
    faint = within & (excess <= 1)
    np.testing.assert_array_equal(found[faint], excess[faint])
    # No further than the whole map as one cluster would raise it.
    assert (found <= np.maximum(excess, 1) * excess.size ** (1 / 6) * (1 + 1e-5)).all()


@settings(deadline=None, max_examples=25)
@given(excess=MAPS, within=MASKS, more=st.floats(0, 3, width=32))
def test_more_excess_never_counts_less(excess, within, more):
    less, rest = enhance(excess, within), enhance(excess + np.float32(more), within)
    assert (rest >= less * (1 - 1e-6)).all()


@settings(deadline=None, max_examples=25)
@given(excess=MAPS, within=MASKS, axis=st.integers(0, 2))
def test_a_mirrored_map_is_raised_alike(excess, within, axis):
    mirrored = enhance(np.flip(excess, axis), np.flip(within, axis))
    np.testing.assert_allclose(np.flip(mirrored, axis), enhance(excess, within), rtol=1e-6)


def test_order_in_memory_does_not_matter():
    excess = np.zeros((30, 30, 30), dtype=np.float32)
    excess[5:25, 5:25, 5:25] = 2.0
    within = np.ones(excess.shape, dtype=bool)
    found = enhance(excess, within)
    assert found.max() > 2.0
    assert np.array_equal(found, enhance(np.asfortranarray(excess), np.asfortranarray(within)))
