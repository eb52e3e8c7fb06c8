"""Sessions that differ too much are not compared, and the reason is a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from uadbids.qc.comparable import SessionQuality, coverage, fit, why_not_comparable

USUAL = SessionQuality(thickness_mm=3.0, grey_white=1.1, noise=0.02)
ALIKE = {"coverage": 0.98, "fit": 0.95}


def test_alike_sessions_are_compared():
    assert why_not_comparable(USUAL, replace(USUAL, thickness_mm=4.0, noise=0.03), **ALIKE) == ""


@pytest.mark.parametrize(
    ("other", "measured", "word"),
    [
        (replace(USUAL, thickness_mm=1.0), {}, "3.0 mm thick"),
        (replace(USUAL, grey_white=1.4), {}, "1.40 times"),
        (replace(USUAL, noise=0.08), {}, "4.0 times the noise"),
        (USUAL, {"coverage": 0.6}, "only 60 % of the brain"),
        (USUAL, {"fit": 0.3}, "another person"),
    ],
)
def test_each_reason_is_given_in_either_order(other, measured, word):
    for pair in ((USUAL, other), (other, USUAL)):
        assert word in why_not_comparable(*pair, **{**ALIKE, **measured})


def test_coverage_is_of_the_smaller_brain():
    whole, half = np.ones((10, 10, 10), dtype=bool), np.ones((10, 10, 10), dtype=bool)
    half[:, :, 5:] = False
    assert coverage((whole, half)) == coverage((half, whole)) == 1
    assert coverage((half, ~half)) == 0


def test_fit_is_that_of_what_both_have():
    random = np.random.default_rng(0)
    volume = random.normal(size=(20, 20, 20))
    brain = np.ones(volume.shape, dtype=bool)
    assert fit((volume, 2 * volume + 1), (brain, brain)) == pytest.approx(1)
    assert fit((volume, volume), (brain, ~brain)) == 0
