"""The scans of a cohort: found, kept, and made again where something changed."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from string import ascii_lowercase
from subprocess import PIPE

import numpy as np
import pytest
from rich.console import Console

from uadbids.bids.query import Scan
from uadbids.errors import UsageError
from uadbids.preproc.config import PreprocConfig
from uadbids.run import cohort, options
from uadbids.run.cohort import (
    CohortOptions,
    Member,
    find_cohort,
    make_ready,
    plan_cohort,
    who_is_in,
)
from uadbids.run.options import RunOptions
from uadbids.run.scheduler.graph import graph_name
from uadbids.training.healthy import Healthy, save_healthy

PREPROC = PreprocConfig()
HOLD = """
import sys
from pathlib import Path
from uadbids.run.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print(claims.take(sys.argv[2]), flush=True)
    sys.stdin.read()
"""


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


def planned(raw: Path, run: RunOptions, **options: object) -> list[Member]:
    wanted = CohortOptions(raw, **options)
    return list(plan_cohort(find_cohort(wanted), wanted, PREPROC, run))


@pytest.mark.parametrize(
    ("people", "groups", "says", "warnings"),
    [
        (25, ["abcde"], "20 scans of 20 participants, 5 scans of 5 participants held out", ()),
        (9, ["abcd"], "5 scans of 5 participants, 4 scans of 4 participants held out", ("held",)),
        (5, ["ab"], "3 scans of 3 participants", ("never tried", "left to chance")),
        (5, ["ab", "cde"], "5 scans of 5 participants, held out in 2 folds before", ()),
        (2, ["a", "b"], "held out in 2 folds before", ("never tried", "left to chance")),
    ],
)
def test_few_participants_bring_a_warning(people, groups, says, warnings):
    scans = [Scan(Path(who), {"subject": who}) for who in ascii_lowercase[:people]]
    first, *others = who_is_in(scans, [frozenset(group) for group in groups])
    assert says in first
    assert len(others) == len(warnings)
    for line, words in zip(others, warnings, strict=True):
        assert line.startswith("warning: ") and words in line


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
    assert first[0].path != first[1].path
    assert first[0].path.parents[1].name == "sub_a_wf"


def mask_of(raw: Path, kind: str, content: str) -> Path:
    folder = raw / "derivatives" / kind / "sub-a" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sub-a_label-{kind}_mask.nii.gz"
    path.write_text(content)
    return folder.parents[1]


def test_only_the_changed_scan_is_made_again(raw, run):
    before = planned(raw, run)
    find_cohort(CohortOptions(raw))[0].path.write_bytes(b"another image")
    after = planned(raw, run)
    assert after[0].path != before[0].path
    assert after[1].path == before[1].path


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
    assert before[0].path != after[0].path


def test_other_engines_make_other_files(raw, run, monkeypatch):
    before = planned(raw, run)[0].path
    for engine in ("antspyx", "deepbet"):
        with monkeypatch.context() as patch:
            patch.setattr(options, "version", lambda name, new=engine: f"{name == new}")
            assert planned(raw, run)[0].path != before
            patch.setattr(options, "version", version)
            assert planned(raw, run)[0].path == before


@pytest.mark.parametrize("changed", [{"nprocs": 4}, {"omp_nthreads": 2}, {"mem_mb": 4000}])
def test_speed_changes_nothing(raw, run, changed):
    assert planned(raw, run) == planned(raw, replace(run, **changed))


def test_lesions_brain_and_sidecar_count(raw, run):
    plain = planned(raw, run)[0].path
    bright = planned(raw, run, exclude_hyperintense=True)[0].path
    root = mask_of(raw, "lesion", "one")
    masked = planned(raw, run, lesion_masks=root)[0].path
    mask_of(raw, "lesion", "two")
    redrawn = planned(raw, run, lesion_masks=root)[0].path
    given = replace(run, skull_strip="mask")
    mask_of(raw, "brain", "one")
    brain = planned(raw, given)[0].path
    mask_of(raw, "brain", "two")
    other_brain = planned(raw, given)[0].path
    sidecar = raw / "sub-a" / "anat" / "sub-a_FLAIR.json"
    sidecar.write_text(json.dumps({"SkullStripped": True}))
    stripped = planned(raw, run)[0].path
    assert len({plain, bright, masked, redrawn, brain, other_brain, stripped}) == 7


def test_masks_that_fit_no_scan_are_refused(raw, run):
    with pytest.raises(UsageError, match="no lesion mask of any scan"):
        planned(raw, run, lesion_masks=raw)


def keep(members: list[Member]) -> None:
    """Put results in place, as an earlier run would."""
    mask = np.ones((2, 2, 2), dtype=bool)
    for member in members:
        save_healthy(Healthy(member.subject, mask.astype(np.float32), mask, ~mask), member.path)


def make(raw: Path, run: RunOptions) -> str:
    """Make everything ready; return what was reported."""
    run.work_dir.mkdir(exist_ok=True)
    wanted, out = CohortOptions(raw), StringIO()
    plan = plan_cohort(find_cohort(wanted), wanted, PREPROC, run)
    make_ready(plan, run, Console(file=out, soft_wrap=True))
    return out.getvalue()


def test_what_is_ready_is_not_made_again(raw, run):
    members = planned(raw, run)
    keep(members)
    # The images are none: any attempt to read them would be reported as a failure.
    assert make(raw, run).strip() == "2 of 2 scans ready from before"
    assert members[0].load().subject == "a"


@pytest.mark.slow
def test_a_scan_that_fails_is_told_and_left_out(raw, run):
    assert make(raw, run).count("left out: ") == 2
    assert not any(member.path.exists() for member in planned(raw, run))


def test_a_second_run_waits_for_the_first_and_takes_its_results(raw, run, monkeypatch):
    monkeypatch.setattr(cohort, "_SECONDS", 0.01)
    run.work_dir.mkdir()
    command = [sys.executable, "-c", HOLD, str(run.work_dir), graph_name("sub-b")]
    first = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True)
    assert first.stdout.readline() == "True\n"
    reports = []
    second = threading.Thread(target=lambda: reports.append(make(raw, run)))
    second.start()
    second.join(1)
    assert second.is_alive() and reports == []
    keep(planned(raw, run))
    first.communicate("")
    second.join()
    assert f"waiting: another run is at work on sub-b in {run.work_dir}" in reports[0]
    assert "2 of 2 scans ready from before" in reports[0]


def test_image_that_cannot_be_read_is_named(raw, run):
    scan = Scan(raw / "sub-x" / "anat" / "sub-x_FLAIR.nii.gz", {"subject": "x"})
    with pytest.raises(UsageError, match=r"sub-x_FLAIR\.nii\.gz cannot be read"):
        plan_cohort([scan], CohortOptions(raw), PREPROC, run)
