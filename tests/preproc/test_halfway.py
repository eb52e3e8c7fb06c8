"""Sessions meet half-way: whichever comes first, and wherever each lay in its scanner."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import logm
from scipy.spatial.transform import Rotation

from uadbids.preproc.halfway import halfway, mean_rigid, write_transform
from uadbids.preproc.transform import read_transform


def rigid(random: np.random.Generator, degrees: float, shift: float) -> np.ndarray:
    matrix = np.eye(4)
    turn = random.normal(size=3)
    turn *= np.radians(degrees) / np.linalg.norm(turn)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    matrix[:3, 3] = random.normal(size=3) * shift
    return matrix


def sessions(seed: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Transforms to the template, each a little wrong; and those between the sessions, right."""
    random = np.random.default_rng(seed)
    right = [rigid(random, 40, 60) for _ in range(count)]
    own = [there @ rigid(random, 2, 2) for there in right]
    return own, [there @ np.linalg.inv(right[0]) for there in right]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_sessions_fit_each_other_and_their_moves_cancel(seed, count):
    own, to_each = sessions(seed, count)
    common = halfway(own, to_each)
    for there, between in zip(common, to_each, strict=True):
        assert_allclose(there @ np.linalg.inv(common[0]), between, atol=1e-8)
        assert_allclose(there[:3, :3] @ there[:3, :3].T, np.eye(3), atol=1e-8)
    moves = [np.real(logm(np.linalg.inv(a) @ b)) for a, b in zip(own, common, strict=True)]
    assert_allclose(np.mean(moves, axis=0), 0, atol=1e-6)


def test_two_sessions_move_by_the_same_way_each():
    own, to_each = sessions(1, 2)
    first, second = (np.linalg.inv(a) @ b for a, b in zip(own, halfway(own, to_each), strict=True))
    assert_allclose(first, np.linalg.inv(second), atol=1e-6)


def test_no_session_is_favoured():
    own, to_each = sessions(2, 3)
    order = [2, 0, 1]
    turned = halfway(
        [own[i] for i in order], [to_each[i] @ np.linalg.inv(to_each[2]) for i in order]
    )
    straight = halfway(own, to_each)
    for number, there in zip(order, turned, strict=True):
        assert_allclose(there, straight[number], atol=1e-6)


def test_a_transform_is_read_as_it_was_written(tmp_path):
    matrix = rigid(np.random.default_rng(3), 20, 30)
    write_transform(matrix, tmp_path / "xfm.txt")
    assert_allclose(read_transform(tmp_path / "xfm.txt"), matrix, atol=1e-6)


def test_mean_of_one_is_itself():
    matrix = rigid(np.random.default_rng(4), 20, 30)
    assert_allclose(mean_rigid([matrix]), matrix, atol=1e-9)
