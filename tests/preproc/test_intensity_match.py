"""Grey values of sessions are made comparable, by normal tissue, in the middle between them."""

import numpy as np
import pytest
from scipy import ndimage

from uadbids.preproc.intensity_match import match_intensities


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = ndimage.gaussian_filter(random.normal(size=(50, 50, 50)), 4)
    return (0.4 + 0.05 * coarse / coarse.std()).astype(np.float32)


def test_gain_and_offset_are_taken_away(tissue):
    random = np.random.default_rng(1)
    noisy = [tissue + random.normal(0, 0.01, tissue.shape) for _ in range(2)]
    sessions = [noisy[0], 1.15 * noisy[1] - 0.03]
    everywhere = np.ones(tissue.shape, dtype=bool)
    lines = match_intensities(sessions, everywhere)
    first, second = (a * s + b for s, (a, b) in zip(sessions, lines, strict=True))
    slope, offset = np.polyfit(*(ndimage.gaussian_filter(v, 2).ravel() for v in (first, second)), 1)
    assert abs(slope - 1) < 0.02 and abs(offset) < 0.01
    # Neither is the reference.
    assert lines[0][0] == pytest.approx(1.075, abs=0.02)
    assert lines[1][0] == pytest.approx(1.075 / 1.15, abs=0.02)


def test_what_has_changed_does_not_bend_the_line(tissue):
    changed = tissue.copy()
    changed[20:27, 20:27, 20:27] += 0.3
    (slope, offset), _ = match_intensities([tissue, changed], np.ones(tissue.shape, dtype=bool))
    assert slope == pytest.approx(1, abs=0.01) and offset == pytest.approx(0, abs=0.005)


def test_too_little_tissue_is_left_alone(tissue):
    few = np.zeros(tissue.shape, dtype=bool)
    few[:5, :5, :5] = True
    assert match_intensities([tissue, tissue / 2], few) == [(1.0, 0.0)] * 2
