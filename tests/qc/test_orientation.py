"""A head that lies otherwise than its header says is noticed."""

import nibabel as nib
import numpy as np
import pytest

from uadbids.preproc.template import Template
from uadbids.qc.flags import judge
from uadbids.qc.orientation import STEP, _cube, orientation_ratio


def posed(change):
    """Take the template's own brain in another pose, a little moved."""
    template = Template.packaged()
    t1w = np.asarray(nib.load(template.t1w).dataobj, dtype=np.float32)
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    head = change(np.roll(t1w / 255, (3, -4, 2), (0, 1, 2)))
    return orientation_ratio(head, t1w, brain)


@pytest.mark.parametrize("change", [lambda d: d, lambda d: 1.2 * (d > 0) - d], ids=["T1", "other"])
def test_a_head_in_place_passes_whatever_its_contrast(change):
    assert posed(change) > 1.2


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:, ::-1],
        lambda d: d[:, :, ::-1],
        lambda d: d[:, ::-1, ::-1],
        lambda d: d[::-1, :, ::-1],
        lambda d: np.pad(np.rot90(d[:, 17:187], axes=(1, 2)), ((0, 0), (17, 17), (0, 0))),
    ],
    ids=["front-back", "upside-down mirrored", "upside-down", "rolled", "lying"],
)
def test_a_head_that_is_turned_or_mirrored_is_told(change):
    ratio = posed(change)
    assert ratio < 1
    codes, _ = judge({"OrientationRatio": ratio})
    assert codes == ["orientation"]


@pytest.mark.parametrize("corner", [(0, 0, 0), (9, 12, 1), (14, 3, 7)])
def test_the_cube_is_cut_around_the_middle_of_the_brain(corner):
    data = np.random.default_rng(2).random((17, 20, 11))
    brain = np.zeros(data.shape, dtype=bool)
    brain[tuple(slice(start, start + 3) for start in corner)] = True
    middle = [round(index.mean()) for index in np.nonzero(brain)]
    padded = np.pad(data, 10)
    expected = padded[tuple(slice(m, m + 20, STEP) for m in middle)]
    np.testing.assert_array_equal(_cube(data, brain), expected)


def test_an_empty_volume_is_no_head():
    assert posed(lambda d: d * 0) < 1
