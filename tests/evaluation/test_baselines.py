import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from uadbids.evaluation.baselines import equalised
from uadbids.evaluation.reference import Reference, voxelwise_z

volumes = nst.arrays(np.float32, (4, 5, 3), elements=st.floats(0, 2, width=32))
SHAPE = (4, 5, 3)


@given(volumes, nst.arrays(bool, SHAPE).filter(np.any))
def test_equalised_intensity_is_the_rank_within_the_brain(volume, mask):
    ranks = equalised(volume, mask)
    assert not ranks[~mask].any()
    inside = volume[mask]
    expected = [(inside <= value).mean() for value in inside]
    np.testing.assert_allclose(ranks[mask], expected, rtol=1e-6)
    # Doubling is exact: a change of scale that keeps ties.
    np.testing.assert_array_equal(equalised(2 * volume, mask), ranks)


def test_equalised_intensity_is_histogram_equalisation():
    generator = np.random.default_rng(0)
    volume = generator.gamma(3, 0.2, (30, 30, 30)).astype(np.float32)
    mask = generator.random(volume.shape) < 0.6
    counts, edges = np.histogram(volume[mask], bins=4096)
    table = np.cumsum(counts) / mask.sum()
    by_histogram = np.interp(volume[mask], edges[1:], table)
    np.testing.assert_allclose(equalised(volume, mask)[mask], by_histogram, atol=0.005)


def test_an_empty_brain_has_no_ranks():
    assert not equalised(np.ones(SHAPE), np.zeros(SHAPE, dtype=bool)).any()


@given(st.lists(st.tuples(volumes, nst.arrays(bool, SHAPE)), min_size=1, max_size=6))
def test_the_reference_is_mean_and_spread_over_the_brains(cohort):
    reference = Reference(SHAPE)
    for volume, mask in cohort:
        reference.add(volume, mask)
    stack = np.array([volume for volume, _ in cohort], dtype=float)
    inside = np.array([mask for _, mask in cohort])
    count = inside.sum(axis=0)
    np.testing.assert_array_equal(reference.known, count >= 2)
    for place in zip(*np.nonzero(reference.known), strict=True):
        values = stack[(slice(None), *place)][inside[(slice(None), *place)]]
        assert reference.mean[place] == pytest.approx(values.mean(), abs=1e-6)
        assert reference.spread[place] == pytest.approx(values.std(ddof=1), abs=1e-5)


@given(
    st.lists(st.tuples(volumes, nst.arrays(bool, SHAPE)), min_size=0, max_size=4),
    st.tuples(volumes, nst.arrays(bool, SHAPE)),
)
def test_taking_a_brain_out_is_as_if_it_had_not_been_in(others, one):
    reference, without = Reference(SHAPE), Reference(SHAPE)
    reference.add(*one)
    for volume, mask in others:
        reference.add(volume, mask)
        without.add(volume, mask)
    reference.remove(*one)
    np.testing.assert_array_equal(reference.known, without.known)
    np.testing.assert_allclose(reference.mean, without.mean, atol=1e-6)
    np.testing.assert_allclose(reference.spread, without.spread, atol=1e-4)


def test_a_voxel_is_judged_by_its_own_place():
    reference, mask = Reference((1, 1, 3)), np.ones((1, 1, 3), dtype=bool)
    for dark, bright in ((0.1, 0.7), (0.3, 0.9)):
        reference.add(np.array([[[dark, bright, 0.5]]]), mask)
    spread = np.std([0.1, 0.3], ddof=1)
    # The same intensity: abnormal where brains are dark, normal where they are bright.
    z = voxelwise_z(np.array([[[0.8, 0.8, 0.54]]]), mask, reference)
    np.testing.assert_allclose(z, [[[0.6 / spread, 0.0, 2.0]]], atol=1e-5)
    outside = voxelwise_z(np.full((1, 1, 3), 0.8), np.zeros_like(mask), reference)
    assert not outside.any()


def test_where_fewer_than_two_brains_were_nothing_is_abnormal():
    reference, mask = Reference((1, 1, 2)), np.array([[[True, False]]])
    reference.add(np.full((1, 1, 2), 0.5), mask)
    assert not voxelwise_z(np.ones((1, 1, 2)), ~mask | mask, reference).any()
