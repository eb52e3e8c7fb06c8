"""Pairs that a table names: the figures of the way by BIDS names, and of files with any name."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

FIGURES = ("dice", "sensitivity", "precision", "lesion_f1", "hd95_mm", "found_volume_ml")


def write_table(path, columns, rows):
    path.write_text("\n".join("\t".join(row) for row in (columns, *rows)) + "\n")
    return path


@pytest.fixture
def files(data, study, tmp_path):
    """Folder with masks of findings and drawn masks under names of their own."""
    folder = tmp_path / "files"
    folder.mkdir()
    for label in ("01", "02", "04"):
        anat = data / "maps" / f"sub-{label}" / "anat"
        found = anat / f"sub-{label}_space-orig_label-anomaly_mask.nii.gz"
        shutil.copy(found, folder / f"found {label}.nii.gz")
        shutil.copy(study.mask_path(data / "masks", label), folder / f"drawn {label}.nii.gz")
    return folder


def rows_of(files, *labels):
    return [(f"found {label}.nii.gz", f"drawn {label}.nii.gz") for label in labels]


def test_scans_of_a_table_give_the_figures_of_their_names(here, data, study, tmp_path):
    masks = [(f"sub-{n}", str(study.mask_path(data / "masks", n))) for n in study.labels]
    table = write_table(tmp_path / "pairs.tsv", ("scan", "mask"), masks)
    flags = ("--no-baselines", "--random-seed", 1)
    by_names = here("evaluate", data / "maps", data / "masks", tmp_path / "names", *flags)
    by_table = here("evaluate", "--pairs", table, data / "maps", tmp_path / "table", *flags)
    assert (by_names.returncode, by_table.returncode) == (0, 0), by_table.stderr
    first, second = (study.table(tmp_path / out / "metrics.tsv") for out in ("names", "table"))
    assert {row.pop("reference") for row in second} == {"mask"}
    for row in first:
        del row["reference"]
    assert first == second


def test_files_of_any_name_give_the_same_figures(here, data, study, files, tmp_path):
    write_table(files / "pairs.tsv", ("map", "mask"), rows_of(files, "01", "02", "04"))
    out = tmp_path / "out"
    done = here("evaluate", "--pairs", files / "pairs.tsv", out)
    assert done.returncode == 0, done.stderr
    here("evaluate", data / "maps", data / "masks", tmp_path / "names", "--no-baselines")
    ours = [
        row
        for row in study.table(tmp_path / "names" / "metrics.tsv")
        if (row["method"], row["threshold_kind"]) == ("small", "label-free")
        and row["participant_id"] != "sub-03"
    ]
    rows = study.table(out / "metrics.tsv")
    assert [row["scan"] for row in rows] == [f"found {n}.nii.gz" for n in ("01", "02", "04")]
    for row, known in zip(rows, ours, strict=True):
        assert {key: row[key] for key in FIGURES} == {key: known[key] for key in FIGURES}
    (line,) = study.table(out / "summary.tsv")
    assert line["scans"] == "3"
    assert float(line["dice"]) == pytest.approx(np.mean([float(row["dice"]) for row in rows]))
    assert (out / "evaluation.html").exists()
    assert len(json.loads((out / "evaluation.json").read_text())["Inputs"]) == 6


def test_a_map_needs_its_threshold_and_gives_an_average_precision(
    here, data, study, files, tmp_path
):
    shutil.copy(
        data / "maps/sub-01/anat/sub-01_space-orig_desc-anomaly_FLAIR.nii.gz", files / "map.nii.gz"
    )
    table = write_table(files / "p.tsv", ("map", "mask"), [("map.nii.gz", "drawn 01.nii.gz")])
    done = here("evaluate", "--pairs", table, tmp_path / "out")
    assert done.returncode == 2
    assert "give the threshold of the map in a column threshold" in done.stderr
    row = ("map.nii.gz", "drawn 01.nii.gz", "0.15")
    write_table(table, ("map", "mask", "threshold"), [row])
    assert here("evaluate", "--pairs", table, tmp_path / "out").returncode == 0
    (row,) = study.table(tmp_path / "out" / "metrics.tsv")
    assert 0.5 < float(row["average_precision"]) <= 1
    assert row["threshold"] == "0.15"


def test_a_mask_on_another_grid_is_resampled_on_request_alone(here, study, files, tmp_path):
    image = nib.load(files / "drawn 01.nii.gz")
    finer = np.repeat(np.asanyarray(image.dataobj), 2, axis=2)
    affine = image.affine @ nib.affines.from_matvec(np.diag([1, 1, 0.5]), [0, 0, -0.25])
    nib.Nifti1Image(finer, affine).to_filename(files / "drawn 01.nii.gz")
    table = write_table(files / "pairs.tsv", ("map", "mask"), rows_of(files, "01", "02"))
    done = here("evaluate", "--pairs", table, tmp_path / "out")
    assert done.returncode == 1
    assert "does not lie on the grid" in done.stderr and "--resample-masks" in done.stderr
    assert len(study.table(tmp_path / "out" / "metrics.tsv")) == 1
    done = here("evaluate", "--pairs", table, tmp_path / "out", "--resample-masks")
    assert done.returncode == 0
    assert len(study.table(tmp_path / "out" / "metrics.tsv")) == 2


@pytest.mark.parametrize(
    ("columns", "row", "sentence"),
    [
        (("file", "mask"), ("a", "b"), "columns map and mask"),
        (("map", "mask"), ("a", ""), "both filled in each row"),
        (("map", "mask"), ("a.nii", "b.nii"), "no pair can be evaluated"),
        (("map", "mask", "threshold"), ("a", "b", "high"), "'high' is no number"),
    ],
)
def test_tables_that_cannot_be_used(here, tmp_path, columns, row, sentence):
    table = write_table(tmp_path / "pairs.tsv", columns, [row])
    done = here("evaluate", "--pairs", table, tmp_path / "out")
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_scan_that_is_not_finished_is_named(here, data, tmp_path):
    table = write_table(tmp_path / "pairs.tsv", ("scan", "mask"), [("sub-77", "m.nii")])
    done = here("evaluate", "--pairs", table, data / "maps", tmp_path / "out")
    assert done.returncode == 2
    assert "no finished scan sub-77" in done.stderr


@pytest.mark.parametrize("words", [("a", "b"), ("a",), ("a", "b", "c", "--pairs", "p.tsv")])
def test_words_that_are_missing_or_too_many(here, words):
    done = here("evaluate", *words)
    assert done.returncode == 2
    assert "give MAPS_DIR MASKS_DIR OUTPUT_DIR; or --pairs FILE" in done.stderr
