"""The plot of a scan's values beside those of the calibration cohort."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from uadbids.model.calibration import calibrate
from uadbids.reports.histogram import draw_histogram

HEALTHY = calibrate([np.random.default_rng(1).exponential(0.5, 100_000).astype(np.float32)])
VALUES = np.random.default_rng(2).exponential(0.5, 80_000).astype(np.float32)


def test_both_curves_and_the_threshold_are_drawn(tmp_path):
    text = draw_histogram(VALUES, 2.0, HEALTHY, tmp_path / "h.svg").read_text()
    for words in ("this scan", "held-out reference scans", "threshold", "volume above it, mL"):
        assert words in text
    assert "http://www.w3.org" in text and "matplotlib.org" not in text
    ElementTree.fromstring(text)


def test_without_calibration_no_healthy_curve(tmp_path):
    text = draw_histogram(VALUES, 2.0, None, tmp_path / "h.svg").read_text()
    assert "held-out reference scans" not in text and "this scan" in text


def test_like_healthy_values_the_curves_agree(tmp_path):
    """The height of both at half of the threshold, read off the drawing."""
    text = draw_histogram(VALUES, 2.0, HEALTHY, tmp_path / "h.svg").read_text()
    paths = [np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", d), dtype=float)
             for d in re.findall(r'<path d="([^"]+)" clip-path', text)]  # fmt: skip
    curves = [path for path in paths if len(path) > 40]
    assert len(curves) == 2
    middle = curves[0][:, 0].mean()
    heights = [float(np.interp(middle, c[:, 0], c[:, 1])) for c in curves]
    assert heights[0] == pytest.approx(heights[1], abs=4)


@pytest.mark.parametrize("values", [np.empty(0, np.float32), np.zeros(500, np.float32)])
def test_nothing_unusual_is_drawn_too(values, tmp_path):
    assert draw_histogram(values, 3.0, HEALTHY, tmp_path / "h.svg").stat().st_size > 1000


def test_the_same_values_give_the_same_bytes(tmp_path):
    first = draw_histogram(VALUES, 2.0, HEALTHY, tmp_path / "a.svg").read_bytes()
    assert draw_histogram(VALUES, 2.0, HEALTHY, tmp_path / "b.svg").read_bytes() == first
