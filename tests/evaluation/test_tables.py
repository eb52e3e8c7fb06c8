"""Maps and masks that need no outputs of a run."""

import nibabel as nib
import numpy as np
import pytest

import uadbids
from uadbids.evaluation.metrics import (
    RECALLS,
    average_precision,
    dice,
    hausdorff95,
    map_figures,
    mask_figures,
)
from uadbids.evaluation.tables import COLUMNS

TRUTH = np.zeros((12, 12, 12), dtype=bool)
TRUTH[3:7, 3:7, 3:7] = True
SCORES = np.random.default_rng(0).random(TRUTH.shape, dtype=np.float32) + 0.4 * TRUTH
FOUND, EVERYWHERE = SCORES > 0.8, np.ones_like(TRUTH)


def save(data, path, size=1.0):
    nib.Nifti1Image(data, np.diag([size, size, 2 * size, 1.0])).to_filename(path)
    return path


def test_figures_are_those_of_the_metrics_and_columns_of_the_table():
    of_mask = mask_figures(FOUND, TRUTH, EVERYWHERE, (1.0, 1.0, 1.0))
    of_map, curve = map_figures(SCORES, TRUTH, EVERYWHERE)
    assert of_mask["dice"] == dice(FOUND, TRUTH)
    assert of_map["average_precision"] == average_precision(SCORES, TRUTH)
    assert {*of_mask, *of_map} <= set(COLUMNS)
    assert curve.shape == RECALLS.shape


def test_specificity_is_that_of_the_brain():
    within = np.zeros_like(TRUTH)
    within[2:9, 2:9, 2:9] = True
    inside = mask_figures(FOUND, TRUTH, within, (1.0, 1.0, 1.0))["specificity"]
    assert inside == pytest.approx(1 - FOUND[within & ~TRUTH].mean())


def test_files_bring_their_voxel_sizes_and_images_in_memory_give_the_same(tmp_path):
    found = save(FOUND.astype(np.uint8), tmp_path / "found.nii.gz", 0.5)
    mask = save(TRUTH.astype(np.uint8), tmp_path / "mask.nii.gz", 0.5)
    files = uadbids.evaluate([(found, str(mask)), (mask, mask)])
    assert files["dice"].tolist() == [dice(FOUND, TRUTH), 1.0]
    assert files["lesion_volume_ml"][0] == pytest.approx(64 * 0.25 / 1000)
    assert files["hd95_mm"][0] == hausdorff95(FOUND, TRUTH, (0.5, 0.5, 1.0))
    assert uadbids.evaluate([(nib.load(found), nib.load(mask))]).equals(files[:1])
