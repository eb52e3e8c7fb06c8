import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from scipy import ndimage

from uadbids.detection.erosion import erode, near_outside
from uadbids.detection.postprocess import (
    Boundary,
    bounding_box,
    describe_components,
    keep_large,
    label_components,
    segment,
)

ISOTROPIC = (1.0, 1.0, 1.0)
masks = nst.arrays(bool, nst.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=9))


def components(lesions, score_map, spacing):
    labels = label_components(lesions)
    return labels, describe_components(labels, score_map, spacing)


def ball(shape, centre, radius):
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return np.sqrt((grid**2).sum(axis=0)) <= radius


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [(ISOTROPIC, (14, 14, 14)), ((1.0, 1.0, 4.0), (14, 14, 18)), ((0.5, 1.0, 1.0), (10, 14, 14))],
)
def test_erosion_is_in_millimetres(spacing, expected):
    mask = np.zeros((22, 22, 22), dtype=bool)
    mask[2:20, 2:20, 2:20] = True
    eroded = erode(mask, 2.0, spacing)
    # 18 voxels, less those within 2 mm of the outside at both ends.
    sizes = tuple(int(n) for n in np.ptp(np.argwhere(eroded), axis=0) + 1)
    assert sizes == expected
    assert not (eroded & ~mask).any()


def test_erosion_counts_the_edge_of_the_array_as_outside():
    assert erode(np.ones((7, 7, 7), dtype=bool), 2.0, ISOTROPIC).sum() == 27


@given(masks, st.floats(0.5, 4.0), st.tuples(*[st.sampled_from([0.5, 0.9, 1.0, 2.5])] * 3))
def test_erosion_keeps_what_is_far_from_the_outside(mask, mm, spacing):
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)
    np.testing.assert_array_equal(erode(mask, mm, spacing), depth[1:-1, 1:-1, 1:-1] > mm)


@given(masks, st.floats(0.5, 4.0))
def test_what_is_near_the_outside_is_what_erosion_takes_away(mask, mm):
    voxels = np.argwhere(mask)
    kept = erode(mask, mm, ISOTROPIC)[tuple(voxels.T)]
    np.testing.assert_array_equal(near_outside(mask, voxels, mm), ~kept)


def test_no_erosion_and_empty_masks():
    mask = np.zeros((5, 5, 5), dtype=bool)
    assert not erode(mask, 2.0, ISOTROPIC).any()
    mask[2, 2, 2] = True
    untouched = erode(mask, 0.0, ISOTROPIC)
    assert untouched is not mask
    np.testing.assert_array_equal(untouched, mask)


@settings(deadline=None)
@given(masks, st.integers(1, 6))
def test_segmentation_is_threshold_then_median_then_size(candidates, min_voxels):
    inside = np.ones(candidates.shape, dtype=bool)
    found = segment(
        candidates.astype(np.float32),
        inside,
        threshold=0.5,
        min_volume_mm3=float(min_voxels),
        spacing=ISOTROPIC,
    )
    smooth = ndimage.median_filter(candidates.astype(np.uint8), 3, mode="constant")
    labels, count = ndimage.label(smooth, np.ones((3, 3, 3)))
    expected = np.zeros_like(candidates)
    for label in range(1, count + 1):
        if (labels == label).sum() >= min_voxels:
            expected |= labels == label
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_segmentation_keeps_to_the_mask_and_its_rim_has_no_vote():
    bright = np.ones((20, 20, 20), dtype=np.float32)
    mask = ball(bright.shape, (10, 10, 10), 6)
    found = segment(bright, mask, threshold=0.5, min_volume_mm3=0.0, spacing=ISOTROPIC)
    assert found.any()
    assert not found[~mask].any()


@pytest.mark.parametrize(("spacing", "kept"), [(ISOTROPIC, True), ((0.5, 0.5, 0.5), False)])
def test_smallest_lesion_is_a_volume_not_a_count(spacing, kept):
    anomaly = np.zeros((12, 12, 12), dtype=np.float32)
    anomaly[4:8, 4:8, 4:8] = 1.0  # 32 voxels survive the median: 32 or 4 mm3
    found = segment(
        anomaly,
        np.ones(anomaly.shape, dtype=bool),
        threshold=0.5,
        min_volume_mm3=10.0,
        spacing=spacing,
    )
    assert found.any() == kept


def test_value_at_the_threshold_is_no_lesion():
    flat = np.full((9, 9, 9), 0.5, dtype=np.float32)
    inside = np.ones(flat.shape, dtype=bool)
    for threshold, found in [(0.5, False), (0.4999, True)]:
        lesions = segment(flat, inside, threshold=threshold, min_volume_mm3=1.0, spacing=ISOTROPIC)
        assert lesions.any() == found


def lump(radius, height, size=40, blur=2.0):
    """Map of a ball that a scanner blurs, and the ball."""
    true = ball((size,) * 3, (size // 2,) * 3, radius)
    return ndimage.gaussian_filter(height * true.astype(np.float32), blur), true


def cut(anomaly, boundary, threshold=1.0):
    inside = np.ones(anomaly.shape, dtype=bool)
    return segment(
        anomaly,
        inside,
        threshold=threshold,
        min_volume_mm3=10.0,
        spacing=ISOTROPIC,
        boundary=Boundary(part=boundary),
    )


def test_small_bright_lesion_boundary_half_its_height():
    anomaly, true = lump(6, 10.0)
    wide, right = (cut(anomaly, boundary).sum() / true.sum() for boundary in (0.0, 0.5))
    assert wide > 1.4
    assert right == pytest.approx(1.0, abs=0.15)


def test_faint_lesion_and_one_beside_a_bright_one_are_found_whole():
    bright, _ = lump(6, 10.0)
    faint, _ = lump(6, 2.5)
    both = np.concatenate([bright, faint], axis=0)
    alone, found = cut(faint, 0.5), cut(both, 0.5)
    assert alone.sum() > 0.9 * cut(faint, 0.0).sum()
    np.testing.assert_array_equal(found[40:], alone)


@pytest.mark.parametrize(("radius", "cut_again"), [(14, True), (20, False)])
def test_lesions_from_25_ml_on_end_at_the_threshold(radius, cut_again):
    # Above the threshold, 18 and 43 ml.
    anomaly, _ = lump(radius, 10.0, size=60)
    assert np.array_equal(cut(anomaly, 0.5), cut(anomaly, 0.0)) != cut_again


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), boundary=st.floats(0.1, 0.9), threshold=st.floats(0.2, 1.5))
def test_cutting_again_adds_nothing(seed, boundary, threshold):
    noise = np.random.default_rng(seed).normal(size=(24, 24, 24))
    anomaly = (8 * ndimage.gaussian_filter(noise, 2)).clip(0).astype(np.float32)
    once, twice = cut(anomaly, 0.0, threshold), cut(anomaly, boundary, threshold)
    assert not (twice & ~once.astype(bool)).any()


def test_components_are_sorted_and_measured():
    lesions = np.zeros((30, 20, 10), dtype=np.uint8)
    lesions[2:4, 2:4, 2:4] = 1  # 8 voxels
    lesions[10:16, 5:8, 4:6] = 1  # 36 voxels
    score = np.indices(lesions.shape)[0] / 100.0
    labels, rows = components(lesions, score, (1.0, 1.0, 3.0))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, lesions > 0)
    large, small = rows
    assert (large.index, large.volume_mm3) == (1, 36 * 3.0)
    assert (small.index, small.volume_mm3) == (2, 8 * 3.0)
    assert large.centroid_ijk == (12.5, 6.0, 4.5)
    assert large.score_max == pytest.approx(0.15)
    assert large.score_mean == pytest.approx(0.125)
    assert (labels[lesions > 0] == np.where(score[lesions > 0] >= 0.1, 1, 2)).all()


def test_components_touching_at_a_corner_are_one():
    lesions = np.zeros((6, 6, 6), dtype=np.uint8)
    lesions[1, 1, 1] = lesions[2, 2, 2] = 1
    assert len(components(lesions, lesions.astype(float), ISOTROPIC)[1]) == 1


def test_no_lesion_no_component():
    labels, rows = components(np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4)), ISOTROPIC)
    assert not labels.any()
    assert rows == []


@given(masks)
def test_components_account_for_every_voxel(mask):
    labels, rows = components(mask.astype(np.uint8), mask.astype(float), ISOTROPIC)
    sizes = [row.volume_mm3 for row in rows]
    assert sum(sizes) == mask.sum()
    assert sizes == sorted(sizes, reverse=True)
    assert [int((labels == row.index).sum()) for row in rows] == sizes


@given(masks)
def test_bounding_box_is_tight(mask):
    if not mask.any():
        return
    box = bounding_box(mask)
    assert mask[box].sum() == mask.sum()
    hits = np.argwhere(mask)
    assert [(part.start, part.stop - 1) for part in box] == list(
        zip(hits.min(axis=0), hits.max(axis=0), strict=True)
    )


def test_large_components_alone_are_kept():
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[0, 0, :3] = mask[5, 5, :5] = True
    kept = keep_large(mask, 4)
    assert kept.sum() == 5
    assert kept[5, 5, :5].all()
