"""Findings of sessions that belong together, and what has become of them."""

import numpy as np
import pytest

from uadbids.detection.change import MEASURED, judge_change
from uadbids.detection.families import LOW, find_families
from uadbids.detection.postprocess import HALF_MAXIMUM

SHAPE, THRESHOLD = (40, 40, 40), 2.0


def cubes(*placed: tuple[tuple[int, int, int], int, float]) -> np.ndarray:
    """Return a map with cubes: corner, side, height."""
    found = np.zeros(SHAPE, dtype=np.float32)
    for (x, y, z), side, height in placed:
        found[x : x + side, y : y + side, z : z + side] = height
    return found


def families(*maps, examined=None):
    everywhere = [np.ones(SHAPE, dtype=bool)] * len(maps)
    return find_families(
        maps,
        examined or everywhere,
        threshold=THRESHOLD,
        min_volume_mm3=10,
        boundary=HALF_MAXIMUM,
    )


def test_a_merged_finding_and_its_two_parts_are_one_family():
    split = cubes(((5, 5, 5), 5, 4), ((12, 5, 5), 5, 4))
    merged = split.copy()
    merged[10:12, 5:10, 5:10] = 4
    found = families(split, merged)
    assert found.parts.tolist() == [[2, 1]]
    assert found.volume_mm3.tolist() == [[250, 300]]
    assert {int(n) for labels in found.labels for n in np.unique(labels)} == {0, 1}


def test_findings_that_do_not_overlap_are_apart_and_the_largest_is_first():
    found = families(cubes(((5, 5, 5), 4, 4)), cubes(((25, 25, 25), 6, 4)))
    assert found.parts.tolist() == [[0, 1], [1, 0]]
    assert found.present.tolist() == [[False, True], [True, False]]


def test_just_above_and_just_below_the_threshold_is_no_change():
    above, below = (cubes(((5, 5, 5), 6, height)) for height in (1.1, 0.9))
    found = families(above * THRESHOLD, below * THRESHOLD)
    assert found.parts.tolist() == [[1, 0]]
    assert found.present.all()
    assert found.volume_mm3[0, 0] == found.volume_mm3[0, 1]


def test_well_below_the_threshold_is_absent():
    faint = cubes(((5, 5, 5), 6, 0.9 * LOW * THRESHOLD))
    found = families(cubes(((5, 5, 5), 6, 4)), faint)
    assert found.present.tolist() == [[True, False]]
    assert found.volume_mm3[0, 1] == 0


def test_a_brighter_session_is_no_larger():
    # A faint border that is over the threshold, but not over half of the height.
    core, border = cubes(((8, 8, 8), 6, 6)), cubes(((7, 7, 7), 8, 2.5))
    bright = np.maximum(core, border)
    found = families(bright, np.where(bright > 0, bright * 0.8, 0).astype(np.float32))
    assert found.volume_mm3.tolist() == [[216, 216]]


def test_what_was_not_examined_is_known():
    half = np.ones(SHAPE, dtype=bool)
    half[:20] = False
    lesion = cubes(((5, 5, 5), 6, 4))
    found = families(lesion, lesion, examined=[np.ones(SHAPE, dtype=bool), half])
    assert found.examined_share.tolist() == [[1, 0]]


def test_nothing_found_is_no_family():
    empty = np.zeros(SHAPE, dtype=np.float32)
    assert len(families(empty, empty)) == 0


def test_three_sessions_are_joined_through_the_middle_one():
    found = families(cubes(((5, 5, 5), 5, 4)), cubes(((8, 5, 5), 8, 4)), cubes(((14, 5, 5), 5, 4)))
    assert found.parts.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("earlier", "later", "was", "is_there", "status"),
    [
        (0, 500, False, True, "new"),
        (500, 0, True, False, "gone"),
        (1000, 1000, True, True, "stable"),
        (1000, 2000, True, True, "enlarging"),
        (2000, 1000, True, True, "shrinking"),
        (12, 15, True, True, "stable"),
    ],
)
def test_statuses(earlier, later, was, is_there, status):
    change = judge_change(earlier, later, was_present=was, is_present=is_there)
    assert change.status == status
    assert change.difference_mm3 == later - earlier
    assert (abs(change.difference_mm3) > change.limit_mm3) or status == "stable"


def test_neither_session_shows_it():
    assert judge_change(0, 0, was_present=False, is_present=False) is None


def test_smaller_findings_differ_more():
    spreads = [MEASURED.sd(volume) for volume in (10, 100, 1000, 10000)]
    assert spreads == sorted(spreads, reverse=True)
