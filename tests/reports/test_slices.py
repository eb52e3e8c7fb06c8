"""Choice and cutting of slices."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from scipy import ndimage

from uadbids.detection.postprocess import label_components
from uadbids.reports.slices import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    Volume,
    bounding_box,
    choose_slices,
    cut,
    head_mask,
    planes_through,
    position,
    spread,
)

WHOLE = (slice(0, 6), slice(0, 8), slice(0, 10))


def test_cut_puts_right_on_the_left_and_front_and_top_up() -> None:
    data = np.zeros((6, 8, 10))
    data[5, 7, 9] = 1  # the corner furthest to the right, front and top
    for axis, index in ((SAGITTAL, 5), (CORONAL, 7), (AXIAL, 9)):
        picture = cut(data, axis, index, WHOLE)
        assert picture[0, 0] == 1
        assert picture.sum() == 1
    assert cut(data, AXIAL, 9, WHOLE).shape == (8, 6)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 29)), max_size=12),
    st.integers(1, 9),
    st.integers(1, 6),
)
def test_chosen_slices_are_ascending_apart_and_as_many_as_fit(
    voxels: list[tuple[int, int, int]], count: int, gap: int
) -> None:
    lesions = np.zeros((5, 5, 30), bool)
    for voxel in voxels:
        lesions[voxel] = True
    chosen = choose_slices(lesions, AXIAL, slice(5, 25), count, gap=gap)
    assert chosen == sorted(set(chosen))
    assert all(second - first >= gap for first, second in pairwise(chosen))
    # As many as asked, but where two would be neighbours: any 2 * gap - 1 slices hold one, then.
    room = {index for place in chosen for index in range(place - gap + 1, place + gap)}
    assert len(chosen) == count or room >= set(range(5, 25))
    if voxels:
        areas = lesions.sum(axis=(0, 1))
        assert areas[chosen].max() == areas.max()


def test_every_component_is_cut_where_it_is_large() -> None:
    lesions = np.zeros((20, 20, 60), bool)
    lesions[2:18, 2:18, 20:40] = True
    lesions[5, 5, 3] = True
    lesions[9:12, 9:12, 50:53] = True
    chosen = choose_slices(lesions, AXIAL, slice(0, 60), 7, gap=4)
    assert 3 in chosen
    assert {50, 51, 52} & set(chosen)
    assert len([index for index in chosen if 20 <= index < 40]) >= 2
    assert min(np.diff(chosen)) >= 4


def test_one_slice_without_lesions_is_the_middle_one() -> None:
    assert choose_slices(np.zeros((4, 4, 41), bool), AXIAL, slice(10, 31), 1) == [20]
    assert spread(slice(10, 31), 1) == [20]


def test_bounding_box_ignores_specks_but_not_small_masks() -> None:
    mask = np.zeros((100, 100, 100), bool)
    mask[3, 3, 3] = True
    assert bounding_box(mask, (1, 1, 1), margin_mm=0)[0] == slice(3, 4)
    mask[40:60, 40:60, 40:60] = True
    assert bounding_box(mask, (1, 2, 1), margin_mm=4) == (
        slice(36, 64),
        slice(38, 62),
        slice(36, 64),
    )
    assert bounding_box(np.zeros((4, 5, 6), bool), (1, 1, 1), margin_mm=2) == (
        slice(0, 4),
        slice(0, 5),
        slice(0, 6),
    )


def test_planes_through_a_mask_cut_it_where_it_is_large() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[1:3, 1:3, 1:3] = True
    mask[1:9, 6:9, 7] = True
    assert planes_through(mask) == [(SAGITTAL, 1), (CORONAL, 6), (AXIAL, 7)]


@given(nst.arrays(bool, (5, 6, 4)))
def test_parts_are_those_of_scipy_and_the_largest_is_the_first_of_them(mask) -> None:
    labels = label_components(mask)
    expected, number = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    assert labels.max() == number
    assert len(set(zip(labels[mask].tolist(), expected[mask].tolist(), strict=True))) == number
    sizes = np.bincount(expected.ravel())
    sizes[0] = 0
    first = (expected == np.argmax(sizes)) & mask
    np.testing.assert_array_equal(labels == 1, first)


def test_position_is_a_scanner_coordinate() -> None:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = [-50, -60, -12]
    volume = Volume(np.zeros((6, 8, 10), np.float32), affine)
    assert position(volume, AXIAL, 2) == "z −6 mm"
    assert position(volume, SAGITTAL, 5) == "x −45 mm"
    assert position(volume, CORONAL, 0) == "y −60 mm"


def test_head_mask_of_noise_and_object() -> None:
    data = np.random.default_rng(1).normal(2, 1, (40, 40, 40)).astype(np.float32)
    data[10:30, 10:30, 10:30] += 100
    mask = head_mask(Volume(data, np.eye(4)))
    assert mask.sum() == 8000
