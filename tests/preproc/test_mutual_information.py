"""The metric of the registration: its derivative, and what does not count."""

import numpy as np
import pytest
from scipy import ndimage

from uadbids.preproc.mutual_information import MutualInformation
from uadbids.preproc.volume import Volume

SPACING = 2.0
POSE = np.column_stack([np.diag([1.02, 0.97, 1.0]), (0.7, -0.4, 0.3)])


@pytest.fixture(scope="module")
def images():
    """A smooth random image, the same with another contrast, and points of its inner part."""
    noise = np.random.default_rng(0).normal(size=(30, 32, 28))
    data = ndimage.gaussian_filter(noise, 2.0)
    data = (data - data.min()) / np.ptp(data)
    index = np.stack(np.meshgrid(*(np.arange(4, n - 4) for n in data.shape), indexing="ij"), -1)
    index = index.reshape(-1, 3)
    moving = Volume(np.sin(3 * data), np.diag([SPACING, SPACING, SPACING, 1.0]))
    return index * SPACING, data[tuple(index.T)], moving


def test_the_derivative_is_that_of_the_value(images):
    metric = MutualInformation(*images)
    _, derivative = metric(POSE)
    step = 2e-3
    for place in np.ndindex(3, 4):
        change = np.zeros((3, 4))
        change[place] = step if place[1] == 3 else step / 60
        ahead, behind = metric(POSE + change)[0], metric(POSE - change)[0]
        expected = (ahead - behind) / 2
        assert derivative[place] * change[place] == pytest.approx(expected, rel=0.1, abs=2e-6)


def test_it_is_highest_where_the_images_lie_on_each_other(images):
    metric = MutualInformation(*images)
    here, _ = metric(np.eye(3, 4))
    for axis in range(3):
        pose = np.eye(3, 4)
        pose[axis, 3] = SPACING
        assert metric(pose)[0] < 0.9 * here


def test_a_pose_that_leaves_the_scan_says_nothing(images):
    metric = MutualInformation(*images)
    assert metric(np.eye(3, 4))[0] > 0
    far = np.eye(3, 4)
    far[0, 3] = 40.0
    value, derivative = metric(far)
    assert value == 0 and not derivative.any()


def test_voxels_outside_the_mask_do_not_count(images):
    points, values, moving = images
    mask = np.zeros(moving.data.shape, dtype=bool)
    mask[:, :, :14] = True
    spoilt = moving._replace(data=np.where(mask, moving.data, moving.data.mean()))
    # The two voxels at the border of the mask are interpolated from both sides.
    mask[:, :, 12:] = False
    found = [MutualInformation(points, values, m, mask)(POSE)[0] for m in (moving, spoilt)]
    assert found[0] == pytest.approx(found[1])
