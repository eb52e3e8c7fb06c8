"""Every case meets the command line; all at once, as they do in a hospital."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from heads import BALL_MM, Head
from robustness.cases import CASES
from robustness.images import FORMS, GUESSED
from robustness.making import Case, ordinary_user
from uadbids.bids.derivatives import marker_path, verify_scan
from uadbids.bids.query import find_scans
from uadbids.bids.scan import Scan

RUN = [case for case in CASES if case.outcome == "run"]
OTHER = [case for case in CASES if case.outcome != "run"]
GEOMETRY = ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c",
            "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")  # fmt: skip


class Visit(NamedTuple):
    """A dataset of cases, what was in them, and the run that met them."""

    raw: Path
    out: Path
    heads: dict[str, Head | None]
    scans: dict[Path, Scan]
    status: int
    text: str


def visit(cases: Sequence[Case], root: Path, example: Path) -> Visit:
    raw, out = root / "raw", root / "out"
    raw.mkdir(parents=True)
    user = ordinary_user()
    if user is None:
        user, cases = (), [case for case in cases if case.name != "private"]
    about = {"Name": "robustness", "BIDSVersion": "1.10.0"}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    head, heads = Head.read(example), {}
    for case in cases:
        path = case.path(raw)
        path.parent.mkdir(parents=True)
        heads[case.name] = case.write(path, head)
    scans = {scan.path: scan for scan in find_scans(raw)}
    command = [*user, sys.executable, "-m", "uadbids", str(raw), str(out), "participant"]
    done = subprocess.run(
        [*command, "-w", str(root / "work")], capture_output=True, text=True, check=False
    )
    return Visit(raw, out, heads, scans, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def set_aside(tmp_path_factory, example_flair):
    return visit(OTHER, tmp_path_factory.mktemp("cases") / "a set – ü", example_flair)


@pytest.fixture(scope="module")
def examined(tmp_path_factory, example_flair):
    return visit(RUN, tmp_path_factory.mktemp("cases") / "a set – ü", example_flair)


def without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "N", text)


def told(seen: Visit, case: Case) -> list[str]:
    """Return all that was said of a case, its path taken out."""
    path = case.path(seen.raw)
    word = "failed: " if case.outcome == "refuse" else "skipped, "
    start = f"{seen.scans[path].name}: {word}"
    said = [line for line in seen.text.splitlines() if line.startswith(start)]
    return [line.removeprefix(start).replace(str(path), "FILE") for line in said]


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHER, ids=lambda case: case.name)
def test_is_set_aside_with_its_sentence(set_aside, case):
    if case.name not in set_aside.heads:
        pytest.skip("root cannot be made an ordinary user here")
    pattern = re.escape(case.sentence).replace("ERROR", ".+")
    assert any(re.fullmatch(pattern, said) for said in told(set_aside, case))


@pytest.mark.slow
def test_nothing_is_left_of_scans_that_were_set_aside(set_aside):
    n_skipped = sum(case.outcome == "skip" for case in OTHER)
    n_refused = len(set_aside.scans) - n_skipped
    assert set_aside.status == 1, set_aside.text
    summary = f"done: 0 of {n_refused}, failed: {n_refused}, skipped: {n_skipped}"
    assert summary in set_aside.text
    assert "Traceback" not in set_aside.text
    files = [path for path in set_aside.out.glob("sub-*/**/*") if path.is_file()]
    assert {path.name.partition("-")[0] for path in files} <= {"crash"}


@pytest.mark.slow
def test_names_stay_text_in_the_pages(set_aside):
    pages = [path.read_text() for path in set_aside.out.glob("sub-*.html")]
    assert any("&lt;script&gt;alert(1)&lt;" in page for page in pages)
    assert not any("<script>alert" in page for page in pages)


@pytest.mark.robustness
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_is_examined_and_says_what_is_odd(examined, case):
    scan = examined.scans[case.path(examined.raw)]
    assert verify_scan(examined.out, scan, scan.path) == [], examined.text
    facts = json.loads(marker_path(examined.out, scan).read_text())
    told = [without_numbers(text) for text in facts["Warnings"]]
    expected = without_numbers(case.sentence).split(" / ") if case.sentence else []
    assert [text for text in expected if text not in told] == []
    # Nothing else is said of a header, and no sound head seems to be turned.
    assert ("header" in facts["Flags"]) == case.sentence.startswith(
        (GUESSED, FORMS, "N background")
    )
    assert case.sentence not in ("", FORMS, GUESSED) or "orientation" not in facts["Flags"]


@pytest.mark.robustness
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_outputs_lie_on_the_scan(examined, case):
    scan = examined.scans[case.path(examined.raw)]
    source = nib.load(scan.path)
    for kind in ("label-anomaly_mask", "label-brain_mask", "desc-anomaly_FLAIR"):
        name = f"{scan.name}_space-orig_{kind}.nii.gz"
        out = nib.load(examined.out / f"sub-{scan.subject}" / "anat" / name)
        assert out.shape == source.shape[:3]
        for field in GEOMETRY:
            assert np.array_equal(source.header[field], out.header[field], equal_nan=True), field
        assert np.array_equal(source.header["pixdim"][:4], out.header["pixdim"][:4])


@pytest.mark.robustness
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_ball_is_found_where_it_is(examined, case):
    head = examined.heads[case.name]
    if head is None:
        pytest.skip("there is no ball in it")
    scan = examined.scans[case.path(examined.raw)]
    name = f"{scan.name}_space-orig_seg-anomaly_dseg.nii.gz"
    labels = nib.load(examined.out / f"sub-{scan.subject}" / "anat" / name)
    found = np.asarray(labels.dataobj)
    voxel = np.round(apply_affine(np.linalg.inv(labels.affine), head.ball)).astype(int)
    assert found[tuple(voxel)] > 0, "the centre of the ball is not in the mask"
    inside = np.argwhere(found == found[tuple(voxel)])
    middle = apply_affine(labels.affine, inside).mean(axis=0)
    assert np.linalg.norm(middle - head.ball) < BALL_MM / 2


@pytest.mark.robustness
def test_no_case_stops_the_others(examined):
    assert examined.status == 0, examined.text
