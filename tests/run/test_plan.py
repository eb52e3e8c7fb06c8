"""What ``--dry-run`` promises is what a run does."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest

from uadbids.bids.derivatives import marker_path, write_scan
from uadbids.bids.query import find_scans
from uadbids.errors import ScanError
from uadbids.model.bundle import find_bundle, verify_bundle
from uadbids.preproc.conform import check_image
from uadbids.run.options import RunOptions
from uadbids.run.plan import changes, settings_of

SOUND = nib.Nifti1Image(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), np.eye(4)).to_bytes()
PACKED = gzip.compress(SOUND, mtime=0)


@pytest.fixture
def raw(tmp_path):
    """A dataset with long names, a sound scan and some that cannot be examined."""
    files = {
        "sub-01/anat/sub-01_acq-averyveryverylongname_ce-none_rec-alsoverylong_run-1_FLAIR.nii.gz":
            PACKED,
        "sub-02/anat/sub-02_FLAIR.nii.gz": b"",
        "sub-03/anat/sub-03_FLAIR.nii.gz": PACKED[:-9],
        "sub-04/anat/sub-04_FLAIR.nii": SOUND[:-9],
        "sub-05/anat/sub-05_T1w.nii.gz": PACKED,
        "sub-06/anat/sub-06_FLAIR.nii.gz": PACKED + gzip.compress(b""),
    }  # fmt: skip
    for name, content in files.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    (tmp_path / "raw/dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10"}')
    return tmp_path / "raw"


def test_names_are_whole_and_each_verdict_has_its_reason(here, raw, tmp_path):
    done = here(raw, tmp_path / "out", "participant", "--dry-run", "-w", tmp_path / "work")
    lines = done.stdout.splitlines()
    assert lines[1].split()[:2] == [
        "sub-01_acq-averyveryverylongname_ce-none_rec-alsoverylong_run-1", "run",
    ]  # fmt: skip
    verdicts = {line.split()[0]: line for line in lines[2:-1]}
    assert "refuse   this is no readable NIfTI image" in verdicts["sub-02"]
    for label in ("sub-03", "sub-04"):
        assert "refuse   the file ends before the image does, or is damaged" in verdicts[label]
    assert "skip     it has no FLAIR image (anat holds sub-05_T1w.nii.gz)" in verdicts["sub-05"]
    assert verdicts["sub-06"].split()[1] == "run"
    assert lines[-1] == "2 of 6 scans would run; 3 refused; 1 skipped"
    assert done.returncode == 0
    assert not (tmp_path / "out").exists() and not (tmp_path / "work").exists()


def test_a_plan_as_json_is_for_scripts(here, raw, tmp_path):
    # A shell that stands beside the dataset is told ../raw.
    done = here(raw / ".." / "raw", tmp_path / "out", "participant", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert plan["counts"] == {"run": 2, "done": 0, "overwrite": 0, "refuse": 3, "skip": 1}
    assert [scan["verdict"] for scan in plan["scans"]] == [
        "run", "refuse", "refuse", "refuse", "skip", "run",
    ]  # fmt: skip
    assert (raw / plan["scans"][1]["path"]).is_file()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--skull-strip", "bet"), "--skull-strip bet: choose one of auto, hd-bet"),
        (("--skull-strip", "hd-bet"), "HD-BET's weights were not found"),
        (("--device", "gpu"), "gpu"),
        (("--hd-bet-weights", "/nowhere"), "/nowhere"),
        (("--use-plugin", "/nowhere.yml"), "--use-plugin /nowhere.yml: there is no such file"),
    ],
)
def test_options_that_fail_in_a_run_fail_in_a_dry_one(flags, sentence, here, raw, tmp_path):
    done = here(raw, tmp_path / "out", "participant", "--dry-run", *flags)
    assert done.returncode == 2 and sentence in done.stderr


def test_without_a_mask_to_take_a_scan_is_refused(here, raw, tmp_path):
    done = here(raw, tmp_path / "o", "participant", "--dry-run", "--skull-strip", "mask", "--json")
    first = json.loads(done.stdout)["scans"][0]
    assert first["verdict"] == "refuse" and "no brain mask of this scan" in first["why"]


@pytest.mark.parametrize(("content", "is_sound"), [(PACKED, True), (PACKED[:-1], False)])
def test_the_end_of_an_image_is_looked_at(content, is_sound, tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(content)
    if is_sound:
        check_image(tmp_path / "a.nii.gz")
    else:
        with pytest.raises(ScanError, match="ends before the image does"):
            check_image(tmp_path / "a.nii.gz")


# --- outputs that are there


@pytest.fixture
def finished(raw, tmp_path):
    """The outputs of a scan, with the settings of the default model."""
    card, run = verify_bundle(find_bundle("dense3d")), RunOptions(tmp_path / "work")
    scan = find_scans(raw)[0]
    mask = tmp_path / "mask.nii.gz"
    mask.write_bytes(PACKED)
    wanted = settings_of(card, run, {})
    now = {**wanted, "BrainMaskMethod": "deepbet"}
    write_scan(tmp_path / "out", scan, {"native_lesions": mask}, facts=now, summary={})
    return tmp_path / "out", scan, card, run


def test_what_changed_is_named(finished, raw):
    out, scan, card, run = finished
    record = json.loads(marker_path(out, scan).read_text())
    # The image's hash was not recorded here.
    assert changes(out, scan, settings_of(card, run, {}), run) == ["the image"]
    now = settings_of(card, run, {"threshold": 3.5, "min_volume_mm3": 20.0})
    assert changes(out, scan, now, RunOptions(run.work_dir, "none")) == [
        f"Threshold {record['Threshold']} -> 3.5",
        f"MinVolumeMm3 {record['MinVolumeMm3']} -> 20.0",
        "BrainMaskMethod deepbet -> none",
        "the image",
    ]


def test_outputs_are_done_or_would_be_overwritten(example_run, example_dataset, here):
    def verdict(*flags):
        run = here(example_dataset, example_run.out, "participant", "--dry-run", "--json", *flags)
        (scan,) = json.loads(run.stdout)["scans"]
        return scan["verdict"], scan["why"]

    assert verdict() == ("done", "outputs of the same settings are there")
    name, why = verdict("--threshold", 3)
    assert name == "overwrite" and "-> 3.0" in why and "(Threshold " in why
    assert verdict("--random-seed", 1)[0] == "overwrite"
