"""One file in: the same result as by way of a dataset, in a flat folder, and nothing else left."""

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dicoms import FLAIR, T1, write_enhanced, write_series
from heads import Head, new_dataset, place, stripped, without_skull
from runs import examine, uadbids


@pytest.fixture
def places(tmp_path, monkeypatch) -> Iterator[Path]:
    """Where temporary folders are made; it has to be empty in the end."""
    # Python's processes have a socket there, whose path may be 107 letters long.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)


def oblique(flair: Path) -> Head:
    """Return the head of the example, stripped, as it lay; DICOM holds whole numbers."""
    head = Head.read(flair)
    return Head(without_skull(np.round(head.data)).astype(np.uint16), head.affine, head.ball)


@pytest.fixture(scope="module")
def made(tmp_path_factory, example_flair):
    """Folder with a dataset of one scan and its run; and what `scan` makes of file and DICOM."""
    folder = tmp_path_factory.mktemp("scan")
    head = oblique(example_flair)
    image = place(new_dataset(folder / "raw"), "head")
    stripped(image, head)
    series = write_series(folder / "dicom", nib.load(image), 5, **FLAIR)
    write_series(folder / "dicom", nib.load(image).slicer[::4, ::4, ::2], 3, **T1)
    with zipfile.ZipFile(folder / "study one.zip", "w") as packed:
        for path in series.iterdir():
            packed.write(path, path.name)
    frames = write_enhanced(folder / "frames.dcm", nib.load(image), 5, **FLAIR)
    # The quickest of the models and maps: nothing here depends on which it is.
    model = ("--model", "spatial3d", "--residual", "tfce", "--threshold", "2.6")
    run = examine(folder / "raw", folder / "derivatives", folder / "work", *model)
    assert run.status == 0, run.text
    flags = (*model, "--keep-bids", "--skull-strip", "none")
    inputs = (image, folder / "study one.zip", frames)
    done = uadbids("scan", *inputs, folder / "out", *flags)
    assert done.returncode == 0, done.stderr
    assert "study one: DICOM series 5 (ax t2)" in done.stderr
    for record in (folder / "out").glob("*_anomaly-mask.json"):
        told = f"{record.name.removesuffix('_anomaly-mask.json')}: flagged, read its page first: "
        assert [told in done.stderr] == [bool(json.loads(record.read_text())["Flags"])]
    return folder, done.stdout


@pytest.fixture
def flat(made) -> Path:
    return made[0] / "out"


@pytest.fixture
def anat(made) -> str:
    """Beginning of the names of what the run on the dataset has written."""
    return f"{made[0]}/derivatives/sub-head/anat/sub-head_space-orig"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def canonical(path: Path) -> np.ndarray:
    return np.asanyarray(nib.as_closest_canonical(nib.load(path)).dataobj)


ENDINGS = (
    "report.html", "anomaly-mask.nii.gz", "anomaly-map.nii.gz", "findings.csv", "anomaly-mask.json",
)  # fmt: skip


@pytest.mark.slow
def test_the_folder_is_flat_and_named_after_the_files(made, flat):
    inputs = ("sub-head_FLAIR", "study one", "frames")
    names = {f"{name}_{end}" for name in inputs for end in ENDINGS}
    images = {f"{name}_FLAIR.nii.gz" for name in inputs[1:]}
    assert {path.name for path in flat.iterdir()} == {*names, *images, "bids"}
    pages = [flat / f"{name}_report.html" for name in inputs]
    assert made[1].splitlines() == [str(page) for page in pages]
    assert len(list(flat.glob("bids/derivatives/uadbids/sub-*.html"))) == 3


@pytest.mark.slow
def test_a_file_gives_the_bytes_of_the_dataset(flat, anat):
    for ending, name in (("mask", "label-anomaly_mask"), ("map", "desc-anomaly_FLAIR")):
        mine = flat / f"sub-head_FLAIR_anomaly-{ending}.nii.gz"
        assert sha256(mine) == sha256(Path(f"{anat}_{name}.nii.gz"))
    table = pd.read_csv(flat / "sub-head_FLAIR_findings.csv")
    of_dataset = pd.read_csv(f"{anat}_seg-anomaly_dseg.tsv", sep="\t")
    pd.testing.assert_frame_equal(table, of_dataset)
    mine = json.loads((flat / "sub-head_FLAIR_anomaly-mask.json").read_text())
    of_dataset = json.loads(Path(f"{anat}_label-anomaly_mask.json").read_text())
    for key in ("Threshold", "ModelSHA256", "SourceSHA256", "FindingVolumeMl", "Flags"):
        assert mine[key] == of_dataset[key], key
    assert mine["Source"] == "sub-head_FLAIR.nii.gz"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study one", "frames"])
def test_dicom_gives_the_mask_of_the_dataset_voxel_for_voxel(made, flat, anat, name):
    """The voxels lie in another order, and the last digits of the header differ."""
    shown = nib.load(flat / f"{name}_FLAIR.nii.gz")
    source = nib.load(made[0] / "raw" / "sub-head" / "anat" / "sub-head_FLAIR.nii.gz")
    gap = np.abs(nib.as_closest_canonical(shown).affine - nib.as_closest_canonical(source).affine)
    assert 0 < gap.max() < 1e-5
    for ending, other in (("mask", "label-anomaly_mask"), ("map", "desc-anomaly_FLAIR")):
        mine = flat / f"{name}_anomaly-{ending}.nii.gz"
        expected = canonical(Path(f"{anat}_{other}.nii.gz"))
        assert expected.any()
        np.testing.assert_array_equal(canonical(mine), expected)
        assert nib.load(mine).shape == shown.shape
        np.testing.assert_array_equal(nib.load(mine).affine, shown.affine)


@pytest.mark.slow
def test_the_page_needs_no_other_file(flat, view):
    page = view(flat / "study one_report.html")
    assert page.is_quiet and page.dead_links() == []
    assert page.page.title() == "study one: uadbids"
    widths = "[...document.querySelectorAll('img')].map(e => e.naturalWidth)"
    assert min(page.page.evaluate(widths)) > 0
    html = (flat / "study one_report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#|https:)', html)


def write_few(path: Path, shape: tuple[int, ...]) -> Path:
    nib.Nifti1Image(np.ones(shape, np.uint8), np.diag([4.0, 4, 4, 1])).to_filename(path)
    return path


def two_patients(folder: Path, image: nib.Nifti1Image) -> Path:
    write_series(folder, image, 1, **FLAIR)
    return write_series(folder, image, 2, patient="2", **FLAIR)


SMALL = nib.Nifti1Image(np.ones((10, 10, 10), np.uint16), np.diag([4.0, 4, 4, 1]))
WRONG = {
    "not there": (lambda tmp: tmp / "x.nii.gz", "there is no such file or folder"),
    "an empty folder": (lambda tmp: (tmp / "x").mkdir() or tmp / "x", "the folder is empty"),
    "no image": (lambda tmp: tmp / "note.txt", "it is no NIfTI, DICOM or"),
    "4D": (lambda tmp: write_few(tmp / "x.nii.gz", (10, 10, 10, 5)), "one 3D volume is needed"),
    "a T1": (lambda tmp: write_series(tmp / "x", SMALL, 3, **T1), "no FLAIR among its series, 3"),
    "two patients": (lambda tmp: two_patients(tmp / "x", SMALL), "images of 2 patients"),
}


@pytest.mark.parametrize(("make", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_mistakes_end_in_one_sentence_and_leave_nothing(here, places, tmp_path, make, sentence):
    (tmp_path / "note.txt").write_text("no image")
    done = here("scan", make(tmp_path), tmp_path / "out", "--skull-strip", "none")
    assert done.returncode == 2
    assert sentence in done.stderr and done.stderr.startswith("uadbids: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(places.iterdir()) == [] and not (tmp_path / "out").exists()


def test_a_dataset_is_sent_to_its_own_command(here, example_dataset, tmp_path):
    done = here("scan", example_dataset, tmp_path / "out")
    assert f"uadbids {example_dataset} {tmp_path / 'out'} participant" in done.stderr


def test_a_forgotten_output_folder_is_noticed(here, tmp_path):
    done = here("scan", tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert "the last word is the output folder" in done.stderr


def test_a_file_without_a_command_is_understood(here):
    assert "uadbids scan p.nii.gz out" in here("p.nii.gz", "out").stderr


@pytest.mark.slow
def test_a_scan_that_fails_leaves_nothing(places, tmp_path):
    """It has a good header, and nothing in it."""
    image = write_few(tmp_path / "flat_T1w.nii.gz", (40, 40, 40))
    done = uadbids("scan", image, tmp_path / "out", "--skull-strip", "none", "--nprocs", 1)
    assert done.returncode == 1
    assert "failed" in done.stderr and "Traceback" not in done.stderr
    assert "flat_T1w.nii.gz: by its name a T1w, and taken for a FLAIR" in done.stderr
    assert done.stdout == ""
    assert list(places.iterdir()) == []
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
