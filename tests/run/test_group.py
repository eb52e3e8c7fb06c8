"""`uadbids BIDS_DIR OUTPUT_DIR group`, from finished outputs to table, map and page."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from runs import uadbids
from uadbids.bids.names import TEMPLATE_MASK, TEMPLATE_T1W

FACTS = {"FindingVolumeMl": 1.5, "FindingCount": 2, "BrainVolumeMl": 900.0, "Warnings": []}
WRITTEN = {
    "group_FLAIR.html",
    "group_FLAIR.json",
    "group_FLAIR.tsv",
    "group_FLAIR_findingfrequency.json",
    "group_FLAIR_findingfrequency.nii.gz",
    "group_FLAIR_findingfrequency.svg",
}


@pytest.fixture
def run(here):
    return here


def rows(out):
    with (out / "group_FLAIR.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def written(out):
    return {path.name for path in out.iterdir() if path.name.startswith((".", "group_"))}


@pytest.fixture
def raw(tmp_path, study):
    """The dataset behind the maps: four participants."""
    root = tmp_path / "raw"
    for label in study.labels:
        path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    about = {"Name": "study", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    return root


@pytest.fixture
def out(maps, study):
    """Outputs of four participants, completed by what belongs to no single scan."""
    about = {"Name": "x", "BIDSVersion": "1.10.0", "GeneratedBy": [{"Name": "uadbids"}]}
    (maps / "dataset_description.json").write_text(json.dumps(about))
    for marker in maps.rglob("*_space-orig_label-anomaly_mask.json"):
        marker.write_text(json.dumps(json.loads(marker.read_text()) | FACTS))
    ball = np.zeros(study.shape, np.uint8)
    ball[10:-10, 10:-10, 8:-8] = 1
    study.save(ball * 100, study.template, maps / TEMPLATE_T1W)
    study.save(ball, study.template, maps / TEMPLATE_MASK)
    return maps


def marker(out, label):
    return out / f"sub-{label}" / "anat" / f"sub-{label}_space-orig_label-anomaly_mask.json"


def template_mask(out, label):
    return out / f"sub-{label}" / "anat" / f"sub-{label}_space-UADBIDS_label-anomaly_mask.nii.gz"


def test_table_map_and_page_of_a_study(run, raw, out, study):
    done = run(raw, out, "group")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert written(out) == WRITTEN
    assert [row["scan"] for row in rows(out)] == [f"sub-{label}" for label in study.labels]
    assert {row["finding_volume_ml"] for row in rows(out)} == {"1.5"}
    share = study.voxels(out / "group_FLAIR_findingfrequency.nii.gz")
    masks = [study.voxels(template_mask(out, label)) > 0 for label in study.labels]
    assert np.any(masks) and np.allclose(share, np.mean(masks, axis=0))
    told = json.loads((out / "group_FLAIR_findingfrequency.json").read_text())
    assert (told["NumberOfParticipants"], told["NumberOfScans"]) == (4, 4)
    html = (out / "group_FLAIR.html").read_text()
    assert 'src="group_FLAIR_findingfrequency.svg"' in html and "Not a medical device" in html


def test_rejected_scans_are_left_out_of_the_map_and_later_runs_know(run, raw, out, study, tmp_path):
    ratings = tmp_path / "ratings.tsv"
    ratings.write_text(
        "scan\trating\tnote\nsub-02\treject\tmoved\nsub-03\tdoubt\tn/a\nsub-9\taccept\t\n"
    )
    done = run(raw, out, "group", "--ratings", ratings)
    assert done.returncode == 0, done.stderr
    assert "rejected, and left out: 1 scan (sub-02)" in done.stderr
    assert "Ratings of other scans are not used: 1 scan (sub-9)" in done.stderr
    for _ in range(2):
        read = {row["scan"]: (row["rating"], row["note"]) for row in rows(out)}
        assert read["sub-02"] == ("reject", "moved") and read["sub-03"] == ("doubt", "n/a")
        about = json.loads((out / "group_FLAIR_findingfrequency.json").read_text())
        assert about["NumberOfScans"] == 3
        assert "1 scan was rejected by a person" in (out / "group_FLAIR.html").read_text()
        # Without the table it is the one that was stored.
        assert run(raw, out, "group").returncode == 0
    ratings.write_text("scan\trating\nsub-02\taccept\n")
    assert "rejected, and left out" not in run(raw, out, "group", "--ratings", ratings).stderr


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("scan\trating\nsub-02\tgood\n", "the rating 'good' of sub-02 is none of accept"),
        ("name\tvalue\nsub-02\taccept\n", "has the columns scan, rating and note"),
        (None, "there is no such table of ratings"),
    ],
)
def test_ratings_that_cannot_be_used_are_refused(run, raw, out, tmp_path, table, sentence):
    path = tmp_path / "ratings.tsv"
    if table is not None:
        path.write_text(table)
    done = run(raw, out, "group", "--ratings", path)
    assert done.returncode == 2 and sentence in done.stderr and not written(out)


def test_covariates_of_the_participants_are_on_the_page(run, raw, out):
    table = "participant_id\tAge\tsite\tname\nsub-01\t95\tn/a\tX\nsub-02\t40\tnorth\tY\n"
    (raw / "participants.tsv").write_text(table)
    assert run(raw, out, "group").returncode == 0
    html = (out / "group_FLAIR.html").read_text()
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert data["covariates"] == [
        {"title": "age", "numeric": True, "values": [89.0, 40.0, None, None]},
        {"title": "site", "numeric": False, "values": [None, "north", None, None]},
    ]


def test_second_run_writes_the_same_bytes(run, raw, out):
    run(raw, out, "group")
    first = {name: (out / name).read_bytes() for name in WRITTEN}
    for name in WRITTEN:
        (out / name).unlink()
    run(raw, out, "group")
    assert {name: (out / name).read_bytes() for name in WRITTEN} == first


def test_a_table_older_than_the_outputs_is_made_again_and_said(run, raw, out, study):
    run(raw, out, "group")
    assert "older than the outputs" not in run(raw, out, "group").stderr
    path = marker(out, study.labels[0])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"FindingCount": 7}))
    done = run(raw, out, "group")
    assert "group_FLAIR.tsv was older than the outputs, and is made again" in done.stderr
    assert "7" in {row["finding_count"] for row in rows(out)}


def test_a_participant_without_a_flair_is_no_unfinished_scan(run, raw, out):
    (raw / "sub-none" / "anat").mkdir(parents=True)
    done = run(raw, out, "group")
    assert done.returncode == 0 and "sub-none" not in done.stderr


def test_selected_participants_alone(run, raw, out):
    done = run(raw, out, "group", "--participant_label", "01", "sub-03")
    assert done.returncode == 0, done.stderr
    assert [row["participant_id"] for row in rows(out)] == ["sub-01", "sub-03"]


def test_scans_without_outputs_are_named_with_their_reason(run, raw, out):
    marker(out, "02").unlink()
    log = out / "sub-02" / "log" / "20260101-000000_x"
    log.mkdir(parents=True)
    (log / "crash-1.txt").write_text("Node: uadbids.sub_02_wf.preprocess\n\nTraceback ...\n")
    record = {"graph": "sub_02_wf", "step": "preprocess", "reason": "there is no brain in it"}
    (log / "crash-sub_02_wf.json").write_text(json.dumps(record))
    marker(out, "04").unlink()
    part = raw / "sub-01" / "anat" / "sub-01_part-phase_FLAIR.nii.gz"
    part.write_bytes(b"")
    done = run(raw, out, "group")
    assert done.returncode == 0, done.stderr
    assert "no finished output: 3 scans of the dataset (sub-01_part-phase, " in done.stderr
    html = (out / "group_FLAIR.html").read_text()
    assert "3 scans of the dataset have no finished output" in html
    assert "failed, there is no brain in it" in html
    assert 'href="sub-02/log/20260101-000000_x/crash-1.txt"' in html
    assert "skipped, it is the phase part" in html
    assert "not run yet, or stopped" in html


def test_outputs_of_a_scan_that_left_the_dataset_are_told(run, raw, out):
    shutil.rmtree(raw / "sub-04")
    done = run(raw, out, "group")
    assert "not in the dataset: 1 finished scan (sub-04)" in done.stderr
    assert "1 finished scan is not in the dataset" in (out / "group_FLAIR.html").read_text()
    assert len(rows(out)) == 4


def test_other_threshold_is_told_in_page_column_and_terminal(run, raw, out):
    path = marker(out, "03")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"Threshold": 9.0}))
    done = run(raw, out, "group")
    assert "there are 2 sets" in done.stderr
    assert [row["settings"] for row in rows(out)] == ["1", "1", "2", "1"]
    assert "not all made alike" in (out / "group_FLAIR.html").read_text()


def test_without_masks_on_the_template_there_is_no_map_and_an_old_one_goes(run, raw, out, study):
    run(raw, out, "group")
    for label in study.labels:
        template_mask(out, label).unlink()
    done = run(raw, out, "group")
    assert done.returncode == 0, done.stderr
    assert written(out) == {"group_FLAIR.html", "group_FLAIR.json", "group_FLAIR.tsv"}
    assert "4 of 4 scans have no mask of findings on the template grid" in done.stderr


def test_without_the_template_there_is_no_map(run, raw, out):
    (out / TEMPLATE_T1W).unlink()
    done = run(raw, out, "group")
    assert done.returncode == 0 and "tpl-UADBIDS_T1w.nii.gz is missing" in done.stderr
    assert "group_FLAIR_findingfrequency.svg" not in written(out)


def test_damaged_mask_does_not_stop_the_others(run, raw, out):
    template_mask(out, "01").write_bytes(b"no image")
    done = run(raw, out, "group")
    assert done.returncode == 1
    assert "sub-01: its mask on the template grid cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads((out / "group_FLAIR_findingfrequency.json").read_text())
    assert (told["NumberOfParticipants"], told["LeftOut"]) == (3, ["sub-01"])
    assert len(rows(out)) == 4


def test_damaged_card_is_no_hindrance(run, raw, out):
    (out / "code" / "model" / "model_card.json").write_text("no card")
    assert run(raw, out, "group").returncode == 0
    assert "missing or damaged" in (out / "group_FLAIR.html").read_text()


def test_what_cannot_work_is_refused_in_a_sentence(run, raw, out, tmp_path):
    def refused(*arguments):
        done = run(*arguments)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
        return done.stderr

    assert "there is no folder" in refused(raw, tmp_path / "none", "group")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no finished scan" in refused(raw, empty, "group")
    assert list(empty.iterdir()) == []
    assert "that uadbids did not make" in refused(raw, raw, "group")
    assert "is not a BIDS dataset" in refused(empty, out, "group")
    assert "No folder sub-77" in refused(raw, out, "group", "--participant-label", "77")
    marker(out, "01").unlink()
    told = refused(raw, out, "group", "--participant-label", "01")
    assert "no finished scan of what was asked for" in told
    assert not written(out)


@pytest.mark.slow
def test_study_of_the_example(example_run, example_dataset, tmp_path, view):
    out = Path(shutil.copytree(example_run.out, tmp_path / "out"))
    done = uadbids(example_dataset, out, "group")
    assert done.returncode == 0, done.stderr
    assert written(out) - {".bidsignore"} == WRITTEN
    (row,) = rows(out)
    (scans,) = out.rglob("*_scans.tsv")
    with scans.open(newline="") as stream:
        (known,) = csv.DictReader(stream, delimiter="\t")
    assert {name: row[name] for name in known if name != "filename"} == {
        name: value for name, value in known.items() if name != "filename"
    }
    image = nib.load(out / "group_FLAIR_findingfrequency.nii.gz")
    assert np.array_equal(image.affine, nib.load(out / TEMPLATE_T1W).affine)
    assert set(np.unique(image.dataobj)) == {0.0, 1.0}

    validator = Path(sys.executable).parent / "bids-validator-deno"
    checked = subprocess.run(
        [validator, out, "--json"], capture_output=True, text=True, check=False
    )
    assert json.loads(checked.stdout)["issues"]["issues"] == []

    seen = view(out / "group_FLAIR.html")
    assert seen.is_quiet, (seen.errors, seen.requests, seen.failed)
    assert seen.dead_links() == [] and seen.pictures_without_text() == []
    picture = seen.page.locator("#sheet img")
    # It is loaded when it comes into view, and not before.
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
    seen.page.get_by_role("link", name="sub-20_ses-2").first.click()
    report = seen.page.frame_locator("#frame iframe")
    report.get_by_role("button", name="Scroll through this scan").click()
    report.locator(".where").wait_for()
    # The report has the focus, and hands keys on as messages.
    seen.page.keyboard.press("a")
    seen.page.get_by_text("1 of 1 rated").wait_for()
    seen.page.keyboard.press("Escape")
    seen.page.locator("#review").wait_for(state="hidden")
    assert seen.is_quiet
