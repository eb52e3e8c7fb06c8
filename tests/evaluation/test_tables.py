"""Maps and masks that need no outputs of a run."""

import nibabel as nib
import numpy as np
import pytest

from uadbids.errors import ScanError
from uadbids.evaluation.metrics import average_precision, dice, hausdorff95
from uadbids.evaluation.tables import COLUMNS, measure_pairs

TRUTH = np.zeros((12, 12, 12), dtype=bool)
TRUTH[3:7, 3:7, 3:7] = True
SCORES = np.random.default_rng(0).random(TRUTH.shape, dtype=np.float32) + 0.4 * TRUTH


def save(data, path, size=1.0):
    nib.Nifti1Image(data, np.diag([size, size, 2 * size, 1.0])).to_filename(path)
    return path


def test_arrays_are_measured_as_the_metrics_say():
    found = measure_pairs([(SCORES, TRUTH), (TRUTH, TRUTH)], threshold=0.8)
    assert found["dice"].tolist() == [dice(SCORES > 0.8, TRUTH), 1.0]
    assert found["average_precision"][0] == average_precision(SCORES, TRUTH)
    assert found["map"].tolist() == [0, 1]
    assert set(found.columns) - {"map", "mask"} <= set(COLUMNS)


def test_specificity_is_that_of_the_brain():
    within = np.zeros_like(TRUTH)
    within[2:9, 2:9, 2:9] = True
    (inside,) = measure_pairs([(SCORES, TRUTH)], threshold=0.8, within=within)["specificity"]
    counted = within & ~TRUTH
    assert inside == pytest.approx(1 - (SCORES > 0.8)[counted].mean())


def test_files_bring_their_voxel_sizes(tmp_path):
    scores = save(SCORES, tmp_path / "map.nii.gz", 0.5)
    mask = save(TRUTH.astype(np.uint8), tmp_path / "mask.nii.gz", 0.5)
    (row,) = measure_pairs([(scores, str(mask))], threshold=0.8).to_dict("records")
    assert (row["map"], row["mask"]) == ("map.nii.gz", "mask.nii.gz")
    assert row["lesion_volume_ml"] == pytest.approx(64 * 0.25 / 1000)
    assert row["hd95_mm"] == hausdorff95(SCORES > 0.8, TRUTH, (0.5, 0.5, 1.0))


def test_files_on_two_grids_are_refused(tmp_path):
    scores = save(SCORES, tmp_path / "map.nii.gz")
    mask = save(TRUTH.astype(np.uint8), tmp_path / "mask.nii.gz", 0.5)
    with pytest.raises(ScanError, match="does not lie on the grid"):
        measure_pairs([(scores, mask)])


def test_images_in_memory_are_measured_as_files_are(tmp_path):
    scores = save(SCORES, tmp_path / "map.nii.gz")
    mask = save(TRUTH.astype(np.uint8), tmp_path / "mask.nii.gz")
    files = measure_pairs([(scores, mask)], threshold=0.8).drop(columns=["map", "mask"])
    images = measure_pairs([(nib.load(scores), nib.load(mask))], threshold=0.8)
    assert images["map"].tolist() == [0]
    assert images.drop(columns=["map", "mask"]).equals(files)
    wrong = nib.Nifti1Image(SCORES, np.eye(4))
    with pytest.raises(ScanError, match="an image in memory: .*probabilities"):
        measure_pairs([(wrong, wrong)])
