from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.errors import UsageError
from uadbids.evaluation.protocol import (
    PAPER_THRESHOLDS,
    Sweep,
    halves,
    oracle,
    own_thresholds,
    split_half,
)

# Two scans that want the first threshold, two that want the last.
SWEEP = Sweep(
    (0.1, 0.2, 0.3), np.array([[0.9, 0.5, 0.1], [0.8, 0.6, 0.2], [0.0, 0.5, 0.7], [0.1, 0.4, 0.9]])
)


def test_the_thresholds_of_the_paper():
    assert len(PAPER_THRESHOLDS) == 15
    assert (PAPER_THRESHOLDS[0], PAPER_THRESHOLDS[-1]) == (0.0, 0.15)


def test_each_half_uses_what_was_best_on_the_other():
    found = split_half(SWEEP, np.array([True, True, False, False]))
    assert found.thresholds == (0.3, 0.3, 0.1, 0.1)
    assert found.at_edge
    mixed = split_half(SWEEP, np.array([True, False, True, False]))
    # Means on scans 0 and 2: 0.45, 0.5, 0.4; on 1 and 3: 0.45, 0.5, 0.55.
    assert mixed.thresholds == (0.3, 0.2, 0.3, 0.2)


def test_the_oracle_takes_the_best_of_all_scans():
    found = oracle(SWEEP)
    assert found.thresholds == (0.2,) * 4
    assert not found.at_edge


def test_the_first_of_equal_thresholds_is_taken():
    assert Sweep((0.1, 0.2), np.array([[0.5, 0.5]])).best() == 0


def test_a_sweep_of_another_size_is_refused():
    with pytest.raises(ValueError, match="one column"):
        Sweep((0.1,), np.zeros((2, 3)))


people = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["ms", "wmh"])), min_size=2, max_size=20
).filter(lambda scans: len(set(scans)) > 1)


@given(people, st.integers(0, 5))
def test_halves_keep_participants_whole_and_strata_even(scans, seed):
    subjects, strata = zip(*scans, strict=True)
    first = halves(subjects, strata, seed=seed)
    sides = {person: {bool(f) for f, s in zip(first, scans, strict=True) if s == person}
             for person in scans}  # fmt: skip
    assert all(len(side) == 1 for side in sides.values())
    totals, counts = Counter(s for _, s in sides), Counter()
    for (_, stratum), side in sides.items():
        counts[stratum] += side == {True}
    for stratum, total in totals.items():
        assert abs(2 * counts[stratum] - total) <= 1
    assert abs(2 * sum(counts.values()) - len(sides)) <= 1
    assert halves(subjects, strata, seed=seed).tolist() == first.tolist()


def test_other_seeds_give_other_halves():
    subjects = [str(number) for number in range(12)]
    assert len({tuple(halves(subjects, seed=seed).tolist()) for seed in range(5)}) > 1


def test_one_participant_cannot_be_split():
    with pytest.raises(UsageError, match="at least two participants"):
        halves(["a", "a"])


@given(st.floats(1e-3, 1e3))
def test_own_thresholds_leave_the_same_voxels_above_in_any_unit(unit):
    values = [np.random.default_rng(seed).gamma(1, size=20_000) for seed in (0, 1)]
    plain, scaled = own_thresholds(values), own_thresholds([unit * v for v in values])
    np.testing.assert_allclose(scaled, unit * np.array(plain), rtol=1e-9)
    above = [(np.concatenate(values) > threshold).mean() for threshold in plain]
    assert len(plain) == 22 and list(plain) == sorted(plain)
    assert above[0] == pytest.approx(10**-0.4, rel=0.01)
    assert above[-1] == pytest.approx(1e-4, rel=0.5)


def test_a_map_that_is_nothing_almost_everywhere_has_fewer_thresholds():
    sparse = np.zeros(10_000)
    sparse[:50] = np.linspace(1, 2, 50)
    found = own_thresholds([sparse])
    assert found[0] == 0.0
    assert len(found) == len(set(found)) < 22
