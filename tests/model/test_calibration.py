import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from uadbids.errors import UsageError
from uadbids.model.calibration import Calibration, calibrate

values = nst.arrays(np.float32, st.integers(2, 60), elements=st.floats(0, 1, width=32))


@pytest.fixture(scope="module")
def healthy():
    generator = np.random.default_rng(0)
    return [np.maximum(generator.normal(0, 0.05, 20_000), 0.0) for _ in range(5)]


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.01, 0.001, 0.0002])
def test_threshold_leaves_the_stated_rate_of_healthy_voxels(healthy, rate):
    threshold = calibrate(healthy).threshold(rate)
    exceeded = np.mean(np.concatenate(healthy) > threshold)
    assert exceeded == pytest.approx(rate, rel=0.1)


def test_score_is_the_fraction_of_smaller_healthy_residuals(healthy):
    pooled = np.concatenate(healthy)
    asked = np.array([0.01, 0.03, 0.08, 0.12, 0.16])
    expected = [(pooled < value).mean() for value in asked]
    np.testing.assert_allclose(calibrate(healthy).score(asked), expected, atol=0.01)


def test_score_of_the_common_zero_is_zero_and_all_else_exceeds_it(healthy):
    zero, tiny, huge = calibrate(healthy).score(np.array([0.0, 1e-9, 10.0]))
    assert zero == 0.0
    assert tiny == pytest.approx(0.5, abs=0.03)
    assert huge == 1.0


@given(st.lists(values, min_size=1, max_size=3), values)
def test_score_is_monotone_and_a_fraction(healthy_values, asked):
    score = calibrate(healthy_values).score(np.sort(asked))
    assert score.dtype == np.float32
    assert (np.diff(score) >= 0).all()
    assert score.min() >= 0.0 and score.max() <= 1.0


@given(st.lists(values, min_size=1, max_size=3))
def test_thresholds_rise_as_the_rate_falls(healthy_values):
    calibration = calibrate(healthy_values)
    finest = 1.0 / calibration.n_voxels
    rates = np.geomspace(finest * 1.001, 0.99, 12)
    thresholds = [calibration.threshold(float(rate)) for rate in rates]
    assert (np.diff(thresholds) <= 0).all()


def test_json_round_trip_is_exact(healthy):
    calibration = calibrate(healthy)
    assert calibration.n_subjects == 5
    assert calibration.n_voxels == 100_000
    back = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    assert back == calibration


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_impossible_rates_are_refused(healthy, rate):
    with pytest.raises(UsageError, match="between 0 and 1"):
        calibrate(healthy).threshold(rate)


def test_rates_finer_than_the_sample_are_refused():
    with pytest.raises(UsageError, match="100 healthy voxels"):
        calibrate([np.linspace(0, 1, 100)]).threshold(0.001)


@pytest.mark.parametrize("residuals", [[], [np.empty(0)], [np.array([0.1, np.nan])]])
def test_calibration_needs_finite_residuals(residuals):
    with pytest.raises(ValueError, match="finite residuals"):
        calibrate(residuals)


@pytest.mark.parametrize(
    ("probabilities", "residuals", "counts"),
    [
        ((0.0, 1.0), (0.0,), (1, 10)),
        ((0.1, 1.0), (0.0, 1.0), (1, 10)),
        ((0.0, 0.5, 0.5, 1.0), (0.0, 0.1, 0.2, 0.3), (1, 10)),
        ((0.0, 1.0), (1.0, 0.0), (1, 10)),
        ((0.0, 1.0), (0.0, float("inf")), (1, 10)),
        ((0.0, 1.0), (0.0, 1.0), (0, 10)),
    ],
)
def test_tables_that_are_none_are_refused(probabilities, residuals, counts):
    with pytest.raises(ValueError, match="[Cc]alibration"):
        Calibration(probabilities, residuals, *counts)
