import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from scipy import ndimage
from sklearn import metrics as sklearn

from uadbids.detection.residuals import mean_absolute_error
from uadbids.evaluation.metrics import (
    average_precision,
    confusion,
    dice,
    hausdorff95,
    lesion_wise,
    map_figures,
    mask_figures,
    precision_recall,
    volume_ml,
)

ISOTROPIC = (1.0, 1.0, 1.0)
shapes = nst.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=7)
pairs = shapes.flatmap(lambda s: st.tuples(nst.arrays(bool, s), nst.arrays(bool, s)))
spacings = st.tuples(*[st.sampled_from([0.5, 0.9, 1.0, 4.4])] * 3)


def box(shape, *corners):
    mask = np.zeros(shape, dtype=bool)
    for low, high in corners:
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


TRUTH = box((10, 10, 10), ((1, 1, 1), (3, 3, 3)))  # 8 voxels
FOUND = box((10, 10, 10), ((1, 1, 1), (3, 3, 2)), ((7, 7, 7), (8, 9, 9)))  # 4 right, 4 wrong


def test_a_toy_counted_by_hand():
    found = confusion(FOUND, TRUTH)
    assert found == (4, 4, 4, 988)
    assert found.dice == found.sensitivity == found.precision == 0.5
    assert found.specificity == 988 / 992
    assert dice(FOUND, TRUTH) == 0.5
    within = box((10, 10, 10), ((0, 0, 0), (5, 5, 5)))
    assert confusion(FOUND, TRUTH, within) == (4, 0, 4, 117)
    assert volume_ml(TRUTH, (0.5, 1.0, 3.0)) == 0.012
    assert mask_figures(FOUND, TRUTH, within, (0.5, 1.0, 3.0))["false_positive_ml"] == 0.006
    assert map_figures(FOUND.astype(float), TRUTH, within)[0]["prevalence"] == 8 / 125


def test_empty_masks():
    empty = np.zeros_like(TRUTH)
    assert dice(empty, empty) == 1
    assert dice(TRUTH, empty) == dice(empty, TRUTH) == 0
    nothing = confusion(empty, empty)
    assert math.isnan(nothing.sensitivity) and math.isnan(nothing.precision)
    assert nothing.specificity == 1
    assert math.isnan(confusion(TRUTH, np.ones_like(TRUTH)).specificity)
    assert math.isnan(hausdorff95(TRUTH, empty, ISOTROPIC))
    assert math.isnan(average_precision(np.ones(3), np.zeros(3, dtype=bool)))
    assert map_figures(np.ones(TRUTH.shape), TRUTH, empty)[0]["prevalence"] == 0
    assert lesion_wise(empty, empty).f1 == 1
    assert lesion_wise(TRUTH, empty).f1 == lesion_wise(empty, TRUTH).f1 == 0
    assert math.isnan(lesion_wise(TRUTH, empty).recall)


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        dice(TRUTH, TRUTH[1:])
    with pytest.raises(ValueError, match="one shape"):
        confusion(TRUTH, TRUTH, TRUTH[1:])
    with pytest.raises(ValueError, match="one shape"):
        precision_recall(np.zeros(3), np.zeros(2, dtype=bool))


@given(pairs)
def test_voxel_counts_agree_with_scikit_learn(masks):
    found, truth = (mask.ravel() for mask in masks)
    counts = sklearn.confusion_matrix(truth, found, labels=[False, True])
    ((tn, fp), (fn, tp)) = counts.tolist()
    assert confusion(*masks) == (tp, fp, fn, tn)
    expected = sklearn.f1_score(truth, found, zero_division=1.0)
    assert dice(*masks) == pytest.approx(expected)


scores = st.one_of(
    # Few values, many ties: maps are 0 over most of the brain.
    nst.arrays(np.float32, 40, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    nst.arrays(np.float32, 40, elements=st.floats(-5, 5, width=32)),
)


@given(scores, nst.arrays(bool, 40).filter(np.any))
def test_average_precision_agrees_with_scikit_learn(values, truth):
    assert average_precision(values, truth) == pytest.approx(
        sklearn.average_precision_score(truth, values)
    )
    recall, precision = precision_recall(values, truth)
    theirs = sklearn.precision_recall_curve(truth, values)
    # Theirs runs the other way and adds the point of no recall.
    np.testing.assert_allclose(precision, theirs[0][-2::-1])
    np.testing.assert_allclose(recall, theirs[1][-2::-1])


@given(scores, nst.arrays(bool, 40).filter(np.any), st.permutations(range(40)))
def test_average_precision_does_not_depend_on_the_order_of_voxels(values, truth, order):
    assert average_precision(values[order], truth[order]) == pytest.approx(
        average_precision(values, truth)
    )


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        average_precision(np.array([0.1, np.nan]), np.array([True, False]))


def test_a_constant_map_has_the_average_precision_of_chance():
    truth = np.arange(100) < 7
    assert average_precision(np.zeros(100), truth) == pytest.approx(0.07)
    assert average_precision(truth.astype(float), truth) == 1.0


def test_lesions_are_counted_by_any_shared_voxel():
    shape = (12, 12, 12)
    truth = box(shape, ((0, 0, 0), (2, 2, 2)), ((5, 5, 5), (7, 7, 7)), ((10, 0, 0), (12, 2, 2)))
    # Touches the first by a corner voxel; joins nothing; is elsewhere twice.
    found = box(shape, ((1, 1, 1), (3, 3, 3)), ((0, 9, 9), (1, 10, 10)), ((9, 9, 0), (10, 10, 1)))
    counts = lesion_wise(found, truth)
    assert counts == (3, 1, 3, 1)
    assert counts.recall == counts.precision == counts.f1 == pytest.approx(1 / 3)
    # One finding can hit two lesions.
    assert lesion_wise(np.ones(shape, dtype=bool), truth) == (3, 3, 1, 1)


@given(pairs)
def test_lesions_agree_with_labels_by_scipy(masks):
    found, truth = masks
    around = np.ones((3, 3, 3))
    true_labels, n_true = ndimage.label(truth, around)
    found_labels, n_found = ndimage.label(found, around)
    n_hit = len(set(true_labels[found].tolist()) - {0})
    n_right = len(set(found_labels[truth].tolist()) - {0})
    assert lesion_wise(found, truth) == (n_true, n_hit, n_found, n_right)


def test_the_distance_of_two_shifted_boxes():
    first = box((20, 20, 20), ((5, 5, 5), (8, 8, 8)))
    second = box((20, 20, 20), ((5, 5, 9), (8, 8, 12)))
    # Four voxels along the last axis: the far face is 4 away, the near one 2.
    assert hausdorff95(first, second, (1.0, 1.0, 2.5)) == pytest.approx(10.0)
    assert hausdorff95(first, first, (1.0, 1.0, 2.5)) == 0


def by_distance_maps(found, truth, spacing):
    """Surface distances as MONAI takes them: erosion by the face neighbours, distance maps."""
    padded = [np.pad(mask, 1) for mask in (found, truth)]
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in padded]
    maps = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return max(np.percentile(maps[1][edges[0]], 95), np.percentile(maps[0][edges[1]], 95))


@given(pairs.filter(lambda masks: masks[0].any() and masks[1].any()), spacings)
def test_surface_distances_agree_with_distance_maps(masks, spacing):
    ours = hausdorff95(*masks, spacing)
    assert ours == pytest.approx(by_distance_maps(*masks, spacing))
    assert ours == pytest.approx(hausdorff95(masks[1], masks[0], spacing))


def test_the_reconstruction_error_is_taken_where_asked():
    volume = np.array([[[0.5, 0.9, 0.2]]], dtype=np.float32)
    rebuilt = np.array([[[0.4, 0.4, 0.2]]], dtype=np.float32)
    lesion = np.array([[[False, True, False]]])
    assert mean_absolute_error(volume, rebuilt, lesion) == pytest.approx(0.5)
    assert mean_absolute_error(volume, rebuilt, ~lesion) == pytest.approx(0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(mean_absolute_error(volume, rebuilt, np.zeros_like(lesion)))
