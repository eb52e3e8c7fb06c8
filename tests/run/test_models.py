"""What is told of a bundle."""

import json

from uadbids.model.calibration import Calibration
from uadbids.run.models import show_model, thresholds


def test_card_is_shown_with_thresholds_instead_of_its_table():
    told = json.loads(show_model("dense3d"))["calibration"]
    assert set(told) == {"n_subjects", "n_voxels", "thresholds"}
    assert list(told["thresholds"]) == ["0.001", "0.005", "0.01"]
    values = list(told["thresholds"].values())
    assert values == sorted(values, reverse=True)


def test_thresholds_are_those_that_the_voxels_can_tell():
    calibration = Calibration((0.0, 1.0), (0.0, 1.0), n_subjects=1, n_voxels=200)
    assert thresholds(calibration) == {"0.005": 0.995, "0.01": 0.99}
