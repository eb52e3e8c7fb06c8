"""The scans of a cohort: found, kept, and made again where something changed."""

import json
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from uadbids.bids.query import Scan
from uadbids.errors import UsageError
from uadbids.preproc.config import PreprocConfig
from uadbids.run import cohort
from uadbids.run.cohort import (
    CohortOptions,
    Plan,
    find_cohort,
    make_ready,
    plan_cohort,
)
from uadbids.run.options import RunOptions
from uadbids.training.healthy import Healthy, save_healthy

PREPROC = PreprocConfig()


@pytest.fixture
def raw(tmp_path) -> Path:
    root = tmp_path / "raw"
    for label in ("a", "b"):
        path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"image of {label}".encode())
    (root / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.10.0"}')
    return root


@pytest.fixture
def run(tmp_path) -> RunOptions:
    return RunOptions(tmp_path / "work")


def planned(raw: Path, run: RunOptions, **options: object) -> list[Plan]:
    wanted = CohortOptions(raw, **options)
    return plan_cohort(find_cohort(wanted), wanted, PREPROC, run)


def test_selection_needs_no_table_unless_asked(raw):
    assert [scan.name for scan in find_cohort(CohortOptions(raw))] == ["sub-a", "sub-b"]
    with pytest.raises(UsageError, match="--select needs"):
        find_cohort(CohortOptions(raw, select="age > 1"))


def test_selection_takes_scans_of_those_it_selects(raw):
    (raw / "participants.tsv").write_text("participant_id\tage\nsub-a\t30\nsub-b\tn/a\nsub-c\t9\n")
    assert [s.name for s in find_cohort(CohortOptions(raw, select="age > 18"))] == ["sub-a"]
    with pytest.raises(UsageError, match="no FLAIR that can be used of those whom --select"):
        find_cohort(CohortOptions(raw, select="age < 18"))


def test_same_question_has_the_same_files_one_for_each_scan(raw, run):
    first, second = planned(raw, run), planned(raw, run)
    assert first == second
    assert first[0].member.path != first[1].member.path
    assert first[0].member.path.name.startswith("sub-a_")


def mask_of(raw: Path, kind: str, content: str) -> Path:
    folder = raw / "derivatives" / kind / "sub-a" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sub-a_label-{kind}_mask.nii.gz"
    path.write_text(content)
    return folder.parents[1]


def test_only_the_changed_scan_is_made_again(raw, run):
    before = planned(raw, run)
    before[0].source.path.write_bytes(b"another image")
    after = planned(raw, run)
    assert after[0].member.path != before[0].member.path
    assert after[1].member.path == before[1].member.path


@pytest.mark.parametrize(
    "changed",
    [
        {"skull_strip": "none"},
        {"hd_bet_sha256": "abc"},
        {"random_seed": 1},
        {"device": "cuda"},
    ],
)
def test_other_preprocessing_makes_other_files(raw, run, changed):
    before, after = planned(raw, run), planned(raw, replace(run, **changed))
    assert before[0].member.path != after[0].member.path


def test_other_engines_make_other_files(raw, run, monkeypatch):
    before = planned(raw, run)[0].member.path
    for engine in ("antspyx", "deepbet"):
        with monkeypatch.context() as patch:
            patch.setattr(cohort, "version", lambda name, new=engine: f"{name == new}")
            assert planned(raw, run)[0].member.path != before
            patch.setattr(cohort, "version", version)
            assert planned(raw, run)[0].member.path == before


@pytest.mark.parametrize("changed", [{"nprocs": 4}, {"omp_nthreads": 2}, {"mem_mb": 4000}])
def test_speed_changes_nothing(raw, run, changed):
    assert planned(raw, run) == planned(raw, replace(run, **changed))


def test_lesions_brain_and_sidecar_count(raw, run):
    plain = planned(raw, run)[0].member.path
    bright = planned(raw, run, exclude_hyperintense=True)[0].member.path
    root = mask_of(raw, "lesion", "one")
    masked = planned(raw, run, lesion_masks=root)[0].member.path
    mask_of(raw, "lesion", "two")
    redrawn = planned(raw, run, lesion_masks=root)[0].member.path
    given = replace(run, skull_strip="mask")
    mask_of(raw, "brain", "one")
    brain = planned(raw, given)[0].member.path
    mask_of(raw, "brain", "two")
    other_brain = planned(raw, given)[0].member.path
    sidecar = raw / "sub-a" / "anat" / "sub-a_FLAIR.json"
    sidecar.write_text(json.dumps({"SkullStripped": True}))
    stripped = planned(raw, run)[0].member.path
    assert len({plain, bright, masked, redrawn, brain, other_brain, stripped}) == 7


def test_masks_that_fit_no_scan_are_refused(raw, run):
    with pytest.raises(UsageError, match="no lesion mask of any scan"):
        planned(raw, run, lesion_masks=raw)


def test_what_is_ready_is_not_made_again(raw, run):
    plans = planned(raw, run)
    mask = np.ones((2, 2, 2), dtype=bool)
    for plan in plans:
        healthy = Healthy(plan.member.subject, mask.astype(np.float32), mask, ~mask)
        save_healthy(healthy, plan.member.path)
    told = StringIO()
    # The images are none: any attempt to read them would be told as a failure.
    make_ready(plans, CohortOptions(raw), PREPROC, run, Console(file=told))
    assert told.getvalue().strip() == "2 of 2 scans ready from before"
    assert plans[0].member.load().subject == "a"


@pytest.mark.slow
def test_a_scan_that_fails_is_told_and_left_out(raw, run):
    run.work_dir.mkdir()
    plans, told = planned(raw, run), StringIO()
    make_ready(plans, CohortOptions(raw), PREPROC, run, Console(file=told, soft_wrap=True))
    assert told.getvalue().count("left out: ") == 2
    assert not any(plan.member.path.exists() for plan in plans)


def test_image_that_cannot_be_read_is_named(raw, run):
    scan = Scan(raw / "sub-x" / "anat" / "sub-x_FLAIR.nii.gz", {"subject": "x"})
    with pytest.raises(UsageError, match=r"sub-x_FLAIR\.nii\.gz cannot be read"):
        plan_cohort([scan], CohortOptions(raw), PREPROC, run)
