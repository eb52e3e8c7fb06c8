"""What `participant` writes is what `evaluate` reads."""

import csv
import json
import shutil

import pytest

from runs import uadbids

pytestmark = pytest.mark.slow
BASELINES = ("equalised intensity", "robust z of intensity")


def test_a_mask_that_is_what_was_found_has_a_dice_of_one(example_run, tmp_path):
    maps, masks, out = example_run.out, tmp_path / "masks", tmp_path / "out"
    assert example_run.status == 0, example_run.text
    anat = "sub-20/ses-2/anat/sub-20_ses-2"
    (masks / anat).parent.mkdir(parents=True)
    shutil.copy(
        maps / f"{anat}_space-orig_label-anomaly_mask.nii.gz",
        masks / f"{anat}_label-lesion_mask.nii.gz",
    )
    run = uadbids("evaluate", maps, masks, out)
    assert run.returncode == 0, run.stderr
    # Map, mask, transform and card fit each other: thresholds are applied as detection does.
    assert "cannot be made again" not in run.stderr
    with (out / "metrics.tsv").open(encoding="utf-8", newline="") as stream:
        rows = {
            (row["method"], row["threshold_kind"]): row
            for row in csv.DictReader(stream, delimiter="\t")
        }
    model = json.loads((out / "evaluation.json").read_text())["Model"]
    assert rows[model, "label-free"]["dice"] == "1"
    # Not 1: single bright voxels are no lesions.
    assert float(rows[model, "label-free"]["average_precision"]) > 0.7
    assert set(rows) == {
        (model, "label-free"),
        *((name, "oracle") for name in (model, f"{model}, plain residual", *BASELINES)),
    }
