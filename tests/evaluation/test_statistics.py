import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from uadbids.evaluation.statistics import (
    bootstrap_interval,
    correlation,
    paired_test,
    subject_means,
    tertiles,
)

values = st.lists(st.floats(0, 1), min_size=2, max_size=8)


def names(count):
    return [f"sub-{number}" for number in range(count)]


@given(values)
def test_an_interval_holds_its_mean_and_lies_among_the_values(numbers):
    found = bootstrap_interval(numbers, names(len(numbers)), draws=200)
    assert found.mean == pytest.approx(np.mean(numbers))
    assert min(numbers) - 1e-9 <= found.low <= found.high <= max(numbers) + 1e-9
    assert found == bootstrap_interval(numbers, names(len(numbers)), draws=200)


def test_an_interval_agrees_with_the_bootstrap_of_scipy():
    numbers = np.random.default_rng(3).beta(2, 3, 40)
    found = bootstrap_interval(numbers.tolist(), names(40))
    theirs = stats.bootstrap(
        (numbers,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.low == pytest.approx(theirs.low, abs=0.005)
    assert found.high == pytest.approx(theirs.high, abs=0.005)


def test_scans_of_one_participant_are_drawn_together():
    # Five scans each of two people: as if there were two values, not ten.
    numbers = [0.2] * 5 + [0.8] * 5
    found = bootstrap_interval(numbers, ["a"] * 5 + ["b"] * 5)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.8))
    alone = bootstrap_interval(numbers, names(10))
    assert alone.high - alone.low < 0.5


def test_what_is_not_defined_is_left_out_of_an_interval():
    found = bootstrap_interval([0.5, math.nan, 0.7], names(3))
    assert found.mean == pytest.approx(0.6)
    assert math.isnan(bootstrap_interval([0.5], ["a"]).low)
    assert math.isnan(bootstrap_interval([math.nan], ["a"]).mean)


def test_means_are_taken_by_participant():
    assert subject_means([0.2, 0.4, math.nan, 0.9], ["b", "b", "a", "c"]) == {
        "b": pytest.approx(0.3),
        "c": 0.9,
    }


@given(st.lists(st.integers(-64, 64), min_size=2, max_size=8))
def test_the_paired_test_agrees_with_scipy(sixtyfourths):
    differences = [number / 64 for number in sixtyfourths]
    theirs = stats.permutation_test(
        (np.array(differences),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert paired_test(differences, [0.0] * len(differences)) == pytest.approx(theirs.pvalue)


def test_the_paired_test_by_chance_draws():
    generator = np.random.default_rng(0)
    ours, noise = generator.random(40), generator.normal(0, 0.1, 40)
    assert paired_test(ours + 0.1, ours + noise, draws=999) < 0.01
    assert paired_test(ours, ours + noise - noise.mean(), draws=999) > 0.5
    assert paired_test(ours + 9, ours, draws=999) == 1 / 1000


def test_five_participants_never_reach_five_percent():
    assert paired_test([1.0] * 5, [0.0] * 5) == 2 / 2**5
    assert math.isnan(paired_test([1.0], [0.0]))


def test_correlation():
    assert correlation([1, 2, 4], [2, 4, 8]) == pytest.approx(1)
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert math.isnan(correlation([1, 2], [1, 2]))
    assert math.isnan(correlation([1, 1, 1], [1, 2, 3]))


def test_thirds_by_volume():
    assert tertiles([9, 1, 5, 2, 6, 8]).tolist() == [2, 0, 1, 0, 1, 2]
    assert tertiles([]).size == 0


@given(st.lists(st.integers(0, 50), min_size=3, max_size=30))
def test_thirds_keep_the_order_and_equal_volumes_together(volumes):
    thirds = tertiles(volumes)
    assert set(thirds.tolist()) <= {0, 1, 2}
    for volume, third in zip(volumes, thirds, strict=True):
        for other, its in zip(volumes, thirds, strict=True):
            assert volume != other or third == its
            assert volume >= other or third <= its
