"""Outlines and sheets."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from uadbids.reports.outlines import mask_outline
from uadbids.reports.svg import Panel, Row, Sheet, anomaly_colours, jpeg, write_sheet


def lines_of(d: str) -> list[np.ndarray]:
    parts = [re.findall(r"-?[\d.]+", part) for part in d.split("M")[1:]]
    return [np.cumsum(np.array(part, float).reshape(-1, 2), axis=0) for part in parts]


def test_single_pixel_keeps_its_place_and_size() -> None:
    mask = np.zeros((5, 7), bool)
    mask[1, 4] = True
    (line,) = lines_of(mask_outline(mask, (0.5, 4.0)))
    assert line.min(axis=0) == pytest.approx([2.0, 4.0], abs=0.11)
    assert line.max(axis=0) == pytest.approx([2.5, 8.0], abs=0.11)
    assert line[0] == pytest.approx(line[-1], abs=0.11)


@given(arrays(bool, (6, 9)))
def test_outline_encloses_the_area_of_the_mask(mask: np.ndarray) -> None:
    lines = lines_of(mask_outline(mask, (10.0, 10.0)))
    area = 0.0
    for line in lines:
        x, y = line[:, 0], line[:, 1]
        area += float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    # Each of a pixel's four corners may lose or gain an eighth of a square half a pixel wide.
    assert abs(area) == pytest.approx(100 * mask.sum(), abs=float(13 * max(mask.sum(), 1)))


def test_straight_runs_are_merged() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:90, 10:90] = True
    (line,) = lines_of(mask_outline(mask, (1.0, 1.0)))
    assert len(line) <= 10


def test_empty_mask_has_no_outline() -> None:
    assert mask_outline(np.zeros((3, 3), bool), (1.0, 1.0)) == ""


def test_colours_rise_in_brightness() -> None:
    shades = anomaly_colours(np.linspace(-1, 2, 50)).astype(int).sum(axis=1)
    assert (np.diff(shades) >= 0).all()
    assert shades[0] > 0
    assert shades[0] < shades[-1]


def test_text_is_text_and_escaped(tmp_path: Path) -> None:
    panel = Panel(jpeg(np.zeros((4, 6), np.uint8)), 60.0, 40.0, label="a < b & c")
    out = write_sheet(Sheet("<b>", (Row("one <script>", (panel,)),)), tmp_path / "s.svg")
    root = ElementTree.parse(out).getroot()
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "one <script>" in texts
    assert "a < b & c" in texts
    assert "<script" not in out.read_text(encoding="utf-8")


def test_scale_bar_is_five_centimetres_of_the_sheet(tmp_path: Path) -> None:
    panel = Panel(jpeg(np.zeros((4, 6), np.uint8)), 160.0, 40.0)
    out = write_sheet(Sheet("s", (Row("r", (panel, panel)),)), tmp_path / "s.svg")
    text = out.read_text(encoding="utf-8")
    assert re.search(r'd="M\S+ \S+h50"', text)
    assert 'viewBox="0 0 332.0' in text  # two panels, one gap and two margins of 4 mm
