"""From label maps on disk to a BIDS dataset: valid, repeatable, resumable."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from uadbids.bids.masks import BRAIN, find_mask
from uadbids.bids.query import find_scans
from uadbids.cli import main
from uadbids.errors import UsageError
from uadbids.preproc.conform import conform, on_grid_of
from uadbids.run import synthesize
from uadbids.run.synthesize import WHITE, SynthesizeOptions, synthesize_dataset
from uadbids.synthesis.label_maps import find_label_maps, read_labels

# Seen from the head's left, below and front, as FreeSurfer stores it.
LIA = np.array([[-1.0, 0, 0, 30], [0, 0, 1, -30], [0, -1, 0, 30], [0, 0, 0, 1]])


def head(size: int = 60) -> np.ndarray:
    grid = np.indices((size,) * 3) - size / 2
    radius = np.sqrt((grid**2).sum(0))
    labels = np.zeros((size,) * 3, dtype=np.int16)
    for label, reach in ((511, 28), (507, 26), (515, 24), (24, 21), (42, 19), (41, 16), (4, 4)):
        labels[radius < reach] = label
    return labels


def save(path: Path, labels: np.ndarray, affine: np.ndarray = LIA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    save(tmp_path / "maps" / "one.nii.gz", head())
    # Some programs write labels as floating point numbers.
    save(tmp_path / "maps" / "deeper" / "two.nii", head().astype(np.float32))
    return tmp_path / "maps"


def files(root: Path) -> dict[str, bytes]:
    """All files but the logs of the runs, which differ."""
    found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if not name.startswith("logs/")}


def test_the_dataset_is_valid_and_its_masks_are_found(maps, tmp_path):
    out = tmp_path / "out"
    assert synthesize_dataset(SynthesizeOptions(maps, out, count=3, device="cpu")) == 3
    validator = Path(sys.executable).parent / "bids-validator-deno"
    done = subprocess.run([validator, out, "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []

    scans = find_scans(out)
    assert [scan.subject for scan in scans] == ["synth0001", "synth0002", "synth0003"]
    assert {scan.metadata["LabelMap"] for scan in scans} == {"one.nii.gz", "two.nii"}
    for scan in scans:
        conform(scan.path, tmp_path / "conformed.nii.gz")
        mask = find_mask(out, scan, BRAIN)
        assert mask is not None
        brain = on_grid_of(tmp_path / "conformed.nii.gz", mask)
        image = nib.load(scan.path)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert image.header.get_zooms()[2] == pytest.approx(
            scan.metadata["SliceThickness"], abs=1e-3
        )
        inside = np.asarray(image.dataobj)[brain]
        assert 0.7 * WHITE < np.median(inside) < 1.5 * WHITE
        assert scan.metadata["SkullStripped"] is False


def test_participants_tell_what_was_drawn(maps, tmp_path):
    synthesize_dataset(SynthesizeOptions(maps, tmp_path / "out", device="cpu"))
    lines = (tmp_path / "out" / "participants.tsv").read_text().splitlines()
    columns = lines[0].split("\t")
    rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in lines[1:]]
    assert [row["participant_id"] for row in rows] == ["sub-synth0001", "sub-synth0002"]
    assert {row["label_map"] for row in rows} == {"one.nii.gz", "two.nii"}
    assert len({row["seed"] for row in rows}) == 2
    meanings = json.loads((tmp_path / "out" / "participants.json").read_text())
    assert set(columns) == set(meanings)


def test_the_same_seed_gives_the_same_bytes(maps, tmp_path):
    options = SynthesizeOptions(maps, tmp_path / "a", random_seed=7, device="cpu")
    synthesize_dataset(options)
    # Neither the number of processes nor that of threads makes a difference.
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        synthesize_dataset(replace(options, output_dir=tmp_path / "b", nprocs=2))
    finally:
        torch.set_num_threads(threads)
    synthesize_dataset(replace(options, output_dir=tmp_path / "c", random_seed=8))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    name = "sub-synth0001/anat/sub-synth0001_FLAIR.nii.gz"
    assert files(tmp_path / "a")[name] != files(tmp_path / "c")[name]


def test_a_second_run_makes_only_what_is_missing(maps, tmp_path):
    options = SynthesizeOptions(maps, tmp_path / "out", count=1, device="cpu")
    assert synthesize_dataset(options) == 1
    assert synthesize_dataset(options) == 0
    before = files(tmp_path / "out")
    assert synthesize_dataset(replace(options, count=3)) == 2
    after = files(tmp_path / "out")
    images = [name for name in before if name.endswith("nii.gz")]
    assert images and all(after[name] == before[name] for name in images)
    next((tmp_path / "out" / "derivatives").rglob("sub-synth0002*.nii.gz")).unlink()
    assert synthesize_dataset(replace(options, count=3)) == 1
    assert files(tmp_path / "out") == after


def test_other_settings_make_other_scans(maps, tmp_path):
    options = SynthesizeOptions(maps, tmp_path / "out", device="cpu")
    synthesize_dataset(options)
    assert synthesize_dataset(replace(options, random_seed=1)) == 2
    still = replace(options.config, elastic=0.0)
    assert synthesize_dataset(replace(options, random_seed=1, config=still)) == 2
    # A label map that was altered is another label map.
    labels = head()
    labels[30, 30, 30] = 24
    save(maps / "one.nii.gz", labels)
    assert synthesize_dataset(replace(options, random_seed=1, config=still)) == 1


def test_scans_of_another_format_are_made_again(maps, tmp_path, monkeypatch):
    options = SynthesizeOptions(maps, tmp_path / "out", count=1, device="cpu")
    synthesize_dataset(options)
    monkeypatch.setattr(synthesize, "_FORMAT", synthesize._FORMAT + 1)
    assert synthesize_dataset(options) == 1


def test_scans_of_other_settings_are_not_listed_beside_the_new(maps, tmp_path):
    options = SynthesizeOptions(maps, tmp_path / "out", count=3, device="cpu")
    synthesize_dataset(options)
    before = files(tmp_path / "out")
    assert synthesize_dataset(replace(options, count=1)) == 0
    with pytest.raises(UsageError, match=r"\(2, from sub-synth0002 on\); remove them"):
        synthesize_dataset(replace(options, count=1, random_seed=2))
    assert files(tmp_path / "out") == before


def _die(_: object) -> None:
    os._exit(9)


def _run_out(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("broken", "nprocs", "says"),
    [(("_make", _die), 2, "fewer than --nprocs 2"), (("synthesize", _run_out), 1, "enough memory")],
)
def test_want_of_memory_ends_in_a_sentence(maps, tmp_path, monkeypatch, broken, nprocs, says):
    monkeypatch.setattr(synthesize, *broken)
    with pytest.raises(UsageError, match=says):
        synthesize_dataset(SynthesizeOptions(maps, tmp_path / "out", device="cpu", nprocs=nprocs))


def test_labels_are_turned_to_right_front_up(tmp_path):
    labels = head()
    labels[5, 6, 7] = 506
    turned = read_labels(save(tmp_path / "map.nii.gz", labels)).numpy()
    # The first axis points left, the second down, the third to the front.
    assert turned[54, 7, 53] == 506


BAD = {
    "values between labels": (head() + np.float32(0.5), LIA, "holds values that are no labels"),
    "below zero": (head() - np.int16(1), LIA, "holds values that are no labels"),
    "not a number": (np.where(head() == 4, np.nan, head()), LIA, "values that are no labels"),
    "unknown": (np.where(head() == 4, np.int16(999), head()), LIA, "unknown labels (999)"),
    "coarse": (head(), np.diag([2.0, 2, 2, 1]), "2.00 x 2.00 x 2.00 mm"),
    "a series": (np.stack([head()] * 2, -1), LIA, "one 3D volume"),
    "no brain": (np.full((20, 20, 20), 515, np.int16), LIA, "no brain"),
}


@pytest.mark.parametrize(("labels", "affine", "sentence"), BAD.values(), ids=BAD)
def test_what_is_no_label_map_is_refused(tmp_path, labels, affine, sentence):
    path = save(tmp_path / "maps" / "bad.nii.gz", labels, affine)
    with pytest.raises(UsageError) as error:
        synthesize_dataset(SynthesizeOptions(path.parent, tmp_path / "out", device="cpu"))
    assert sentence in str(error.value) and str(path) in str(error.value)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(b"no image")
    with pytest.raises(UsageError, match="no readable NIfTI"):
        read_labels(path)


def test_a_folder_without_label_maps_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="there is no label map"):
        find_label_maps(tmp_path)


def test_one_file_is_a_folder_of_one(maps):
    assert find_label_maps(maps / "one.nii.gz") == [maps / "one.nii.gz"]
    assert find_label_maps(maps) == [maps / "deeper" / "two.nii", maps / "one.nii.gz"]


def test_nothing_is_written_among_the_label_maps_or_other_things(maps, tmp_path):
    with pytest.raises(UsageError, match="inside that of the label maps"):
        synthesize_dataset(SynthesizeOptions(maps, maps / "out"))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    with pytest.raises(UsageError, match="holds other things"):
        synthesize_dataset(SynthesizeOptions(maps, foreign))
    with pytest.raises(UsageError, match="is a file"):
        synthesize_dataset(SynthesizeOptions(maps, foreign / "thesis.txt"))
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]


def test_the_command_line_says_what_was_made(maps, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        main(["synthesize", str(maps), str(out), "--count", "1", "--device", "cpu"])
    assert not end.value.code
    assert "1 scans made" in capsys.readouterr().out
    assert (out / "sub-synth0001" / "anat" / "sub-synth0001_FLAIR.nii.gz").is_file()


def test_a_mistake_ends_in_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["synthesize", str(tmp_path), str(tmp_path.parent / "out"), "--device", "cpu"])
    assert end.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("uadbids: ") and len(said.splitlines()) == 1
