"""The map of finding frequency."""

import base64
import io
import re

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from uadbids.errors import ScanError
from uadbids.reports.frequency import draw_frequency

SHAPE = (40, 48, 40)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = -2.0 * (np.array(SHAPE) - 1) / 2


@pytest.fixture
def draw(tmp_path):
    """Draw shares over a ball of a brain; gives the SVG as text."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    ball = np.linalg.norm(grid - (np.array(SHAPE) - 1) / 2, axis=-1) < 17

    def save(name, data):
        nib.Nifti1Image(data, AFFINE).to_filename(tmp_path / name)
        return tmp_path / name

    def drawn(share, **options):
        out = draw_frequency(
            save("t1w.nii.gz", (ball * 100).astype(np.uint8)),
            save("mask.nii.gz", ball.astype(np.uint8)),
            save("share.nii.gz", share.astype(np.float32)),
            tmp_path / "map.svg",
            **options,
        )
        return out.read_text()

    return drawn


def colourful_columns(svg, place):
    """Columns of a panel, as shares of its width, where there is colour and not grey."""
    data = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)[place]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")).astype(int)
    found = np.flatnonzero((pixels[..., 3] > 100).any(axis=0))
    return found / pixels.shape[1]


def test_patients_right_is_on_the_left_of_the_picture(draw):
    share = np.zeros(SHAPE)
    share[26:32, 20:28, 10:30] = 0.4  # x grows to the patient's right
    svg = draw(share)
    columns = colourful_columns(svg, 6)
    assert columns.size and columns.max() < 0.5
    assert ">R</text>" in svg and ">L</text>" in svg and "5 cm" in svg
    assert "0.4  share of participants with a finding here" in svg
    assert svg == draw(share)


def test_axial_slices_are_those_that_the_model_sees(draw):
    svg = draw(np.zeros(SHAPE), examined=slice(15, 22))
    heights = [int(z.replace("\N{MINUS SIGN}", "-")) for z in re.findall(r">z (\S+) mm<", svg)]
    assert heights and min(heights) >= -9 and max(heights) <= 3


def test_slices_outside_the_brain_give_way_to_all(draw):
    svg = draw(np.zeros(SHAPE), examined=slice(60, 80))
    assert len(set(re.findall(r">z \S+ mm<", svg))) == 14


def test_study_without_lesions_is_drawn(draw):
    assert "share of participants" in draw(np.zeros(SHAPE))


def test_other_grid_is_refused(draw):
    with pytest.raises(ScanError, match="grid"):
        draw(np.zeros((4, 4, 4)))
