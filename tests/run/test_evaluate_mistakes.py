"""What a person sees who pairs wrong things, or types something wrong."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from uadbids.errors import UsageError
from uadbids.run.evaluate import EvaluateOptions, evaluate


def test_without_template_outputs_the_label_free_figures_remain(
    maps, data, tmp_path, capsys, study
):
    for path in maps.glob("sub-*/anat/*_space-UADBIDS_*"):
        path.unlink()
    assert evaluate(EvaluateOptions(maps, data / "masks", tmp_path / "out")) == 0
    rows = study.table(tmp_path / "out" / "metrics.tsv")
    assert {(row["method"], row["threshold_kind"]) for row in rows} == {("small", "label-free")}
    assert "no other thresholds, no baselines" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"give --space orig"):
        evaluate(EvaluateOptions(maps, data / "masks", tmp_path / "out", space="template"))


def test_the_output_may_be_a_derivative_of_the_masks(data, masks):
    out = masks / "derivatives" / "evaluation"
    assert evaluate(EvaluateOptions(data / "maps", masks, out, with_baselines=False)) == 0
    assert (out / "evaluation.html").exists()


def test_an_output_folder_that_cannot_be_made_is_told(data, tmp_path):
    (tmp_path / "file").write_text("")
    options = EvaluateOptions(
        data / "maps", data / "masks", tmp_path / "file" / "out", with_baselines=False
    )
    with pytest.raises(UsageError, match="cannot be written"):
        evaluate(options)
    with pytest.raises(UsageError, match="is a file"):
        evaluate(EvaluateOptions(data / "maps", data / "masks", tmp_path / "file"))


def test_one_wrong_mask_stops_one_scan(data, masks, study, tmp_path, capsys):
    shifted = study.native.copy()
    shifted[:3, 3] += 7
    path = study.mask_path(masks, "02")
    study.save(study.voxels(path), shifted, path)
    options = EvaluateOptions(data / "maps", masks, tmp_path / "out", with_baselines=False)
    assert evaluate(options) == 1
    rows = study.table(tmp_path / "out" / "metrics.tsv")
    assert {row["participant_id"] for row in rows} == {"sub-01", "sub-03", "sub-04"}
    assert capsys.readouterr().err.count("does not lie on the grid of its scan") == 1
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "sub-02 could not be measured" in page


def test_of_many_that_are_not_paired_the_screen_tells_some_and_the_page_all(
    data, masks, study, tmp_path, capsys
):
    for number in range(10, 25):
        path = study.mask_path(masks, str(number))
        path.parent.mkdir(parents=True)
        shutil.copy(study.mask_path(masks, "02"), path)
    evaluate(EvaluateOptions(data / "maps", masks, tmp_path / "out", with_baselines=False))
    told = capsys.readouterr().err
    assert told.count("there is no finished scan of that name") == 10
    assert "15 in all" in told
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("there is no finished scan of that name") == 15


def test_no_pair_that_can_be_read_is_an_error(data, masks, tmp_path):
    for path in masks.rglob("*.nii.gz"):
        path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"no scan can be evaluated .*no readable NIfTI"):
        evaluate(EvaluateOptions(data / "maps", masks, tmp_path / "out"))
    written = {path.name for path in (tmp_path / "out").rglob("*.*") if path.is_file()}
    assert written == {"uadbids.log", "settings.toml"}


def test_the_mask_of_another_head_is_doubted(data, masks, study, tmp_path, capsys):
    path = study.mask_path(masks, "02")
    elsewhere = np.zeros(study.native_shape, dtype=np.uint8)
    elsewhere[:4, :4, :4] = 1
    study.save(elsewhere, study.native, path)
    evaluate(EvaluateOptions(data / "maps", masks, tmp_path / "out", with_baselines=False))
    assert "only 0 % of the lesion voxels lie in the brain mask" in capsys.readouterr().err


def test_maps_cut_by_other_settings_are_told(maps, data, study, tmp_path, capsys):
    path = maps / "sub-01/anat/sub-01_space-orig_label-anomaly_mask.nii.gz"
    lesions = study.voxels(path).copy()
    lesions[lesions > 0] = np.arange(lesions.sum()) % 3 > 0
    study.save(lesions, study.native, path)
    evaluate(EvaluateOptions(maps, data / "masks", tmp_path / "out", with_baselines=False))
    assert "cannot be made again from map and threshold" in capsys.readouterr().err


def test_two_models_in_one_folder_are_refused(maps, data, tmp_path):
    path = maps / "sub-01/anat/sub-01_space-orig_label-anomaly_mask.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"Model": "other"}))
    with pytest.raises(UsageError, match=r"more than one model.*other, small"):
        evaluate(EvaluateOptions(maps, data / "masks", tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"output_dir": "maps/out"}, "lies inside"),
        ({"output_dir": "masks"}, "lies inside"),
        ({"output_dir": "masks/derivatives"}, "lies inside"),
        ({"space": "MNI"}, "choose one of orig, template"),
        ({"maps_dir": "masks"}, "no finished scan"),
        ({"healthy_dir": "maps"}, "give other scans"),
        ({"healthy_dir": "masks"}, "0 finished scans are in it, at least 3"),
        ({"healthy_dir": "healthy", "with_baselines": False}, "leave out --no-baselines"),
        ({"mask_filters": ("desc=carl",)}, "--mask-filter wants desc=carl"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change, sentence, data, tmp_path):
    typed = {"maps_dir": "maps", "masks_dir": "masks", "output_dir": tmp_path / "out", **change}
    folders = {key: data / value if key.endswith("_dir") else value for key, value in typed.items()}
    with pytest.raises(UsageError, match=sentence):
        evaluate(EvaluateOptions(**folders))


def test_healthy_maps_of_another_model_are_refused(data, tmp_path):
    healthy = shutil.copytree(data / "healthy", tmp_path / "healthy")
    for path in healthy.glob("sub-*/anat/*_space-orig_label-anomaly_mask.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ModelSHA256": "cd34"}))
    with pytest.raises(UsageError, match="made by another model"):
        evaluate(
            EvaluateOptions(data / "maps", data / "masks", tmp_path / "out", healthy_dir=healthy)
        )


def test_the_command_line(data, tmp_path):
    command = [sys.executable, "-m", "uadbids", "evaluate", data / "maps", data / "raters"]
    flags = ["--mask-filter", "desc=anna", "label=lesion", "--mask-values", "1", "--no-baselines"]
    run = subprocess.run(
        [*map(str, command), str(tmp_path / "out"), *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "--mask-filter desc=anna label=lesion --mask-values 1" in page
    assert not [line for line in page.splitlines() if "http" in line]
    wrong = subprocess.run(
        [*map(str, command), str(data / "maps" / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("uadbids: the output folder")
    assert len(wrong.stderr.strip().splitlines()) == 1
