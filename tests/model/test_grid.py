import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.model.grid import Crop

triples = st.tuples(*[st.integers(1, 9)] * 3)
crops = st.builds(Crop, start=st.tuples(*[st.integers(-12, 12)] * 3), shape=triples)


@given(crops, triples)
def test_each_voxel_comes_from_where_the_start_says(crop, full_shape):
    full = np.arange(1, 1 + np.prod(full_shape)).reshape(full_shape)
    cut = crop.apply(full)
    assert cut.shape == crop.shape
    for index in np.ndindex(crop.shape):
        there = tuple(i + s for i, s in zip(index, crop.start, strict=True))
        inside = all(0 <= i < n for i, n in zip(there, full_shape, strict=True))
        assert cut[index] == (full[there] if inside else 0)


@given(crops, triples)
def test_restore_undoes_apply_within_the_box_and_is_zero_outside(crop, full_shape):
    full = np.arange(1, 1 + np.prod(full_shape)).reshape(full_shape)
    back = crop.restore(crop.apply(full), full_shape)
    box = crop.mask(full_shape)
    np.testing.assert_array_equal(back, np.where(box, full, 0))


@given(crops)
def test_affine_keeps_world_coordinates(crop):
    affine = np.array([[0, -2.0, 0, 5], [1, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1.0]])
    moved = crop.affine(affine)
    voxel = np.array([1, 2, 3])
    there = voxel + np.array(crop.start)
    np.testing.assert_allclose(moved @ [*voxel, 1], affine @ [*there, 1])


def test_affine_leaves_its_input_alone():
    affine = np.eye(4)
    Crop((1, 2, 3), (4, 4, 4)).affine(affine)
    np.testing.assert_array_equal(affine, np.eye(4))


def test_impossible_boxes_are_refused():
    with pytest.raises(ValueError, match="positive sizes"):
        Crop((0, 0, 0), (4, 0, 4))
    with pytest.raises(ValueError, match="Expected an array"):
        Crop((0, 0, 0), (4, 4, 4)).restore(np.zeros((3, 4, 4)), (8, 8, 8))
