import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from uadbids.bids.query import find_scans, read_filters
from uadbids.errors import UsageError

IMAGES = (
    "sub-01/ses-1/anat/sub-01_ses-1_acq-3D_run-01_FLAIR.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_acq-3D_run-02_FLAIR.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii",
    "sub-02/anat/sub-02_FLAIR.nii.gz",
    "derivatives/other/sub-01/anat/sub-01_desc-preproc_FLAIR.nii.gz",
    "sourcedata/sub-03/anat/sub-03_FLAIR.nii.gz",
)
RawMaker = Callable[..., Path]


@pytest.fixture
def raw(make_raw: RawMaker) -> Path:
    return make_raw(*IMAGES)


def names(root: Path, **selection) -> list[str]:
    return [scan.name for scan in find_scans(root, **selection)]


def test_finds_every_flair_and_nothing_else(raw: Path) -> None:
    scans = find_scans(raw)
    assert [scan.name for scan in scans] == [
        "sub-01_ses-1_acq-3D_run-01",
        "sub-01_ses-1_acq-3D_run-02",
        "sub-01_ses-2",
        "sub-02",
    ]
    assert [scan.relative_path for scan in scans] == [i for i in IMAGES[:5] if "FLAIR" in i]
    assert all(scan.path == raw / scan.relative_path for scan in scans)
    assert all(scan.skip_reason is None for scan in scans)
    assert scans[0].entities == {
        "subject": "01",
        "session": "1",
        "acquisition": "3D",
        "run": "01",
    }
    assert (scans[3].subject, scans[3].session) == ("02", None)


@pytest.mark.parametrize("label", ["01", "sub-01"])
def test_participant_labels_with_and_without_prefix(raw: Path, label: str) -> None:
    assert {scan.subject for scan in find_scans(raw, participant_label=[label])} == {"01"}


@pytest.mark.parametrize("label", ["2", "ses-2"])
def test_session_labels_with_and_without_prefix(raw: Path, label: str) -> None:
    assert names(raw, session_label=[label]) == ["sub-01_ses-2"]


def test_a_label_is_not_a_prefix_of_another(make_raw: RawMaker) -> None:
    raw = make_raw("sub-1/anat/sub-1_FLAIR.nii.gz", "sub-11/anat/sub-11_FLAIR.nii.gz")
    assert names(raw, participant_label=["1"]) == ["sub-1"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"flair": {"run": 1}}, ["sub-01_ses-1_acq-3D_run-01"]),
        ({"FLAIR": {"run": "02"}, "t1w": {"run": 1}}, ["sub-01_ses-1_acq-3D_run-02"]),
        ({"session": ["2"]}, ["sub-01_ses-2"]),
        ({"session": None}, ["sub-02"]),
        ({"run": "Query.NONE"}, ["sub-01_ses-2", "sub-02"]),
        ({"run": "*"}, ["sub-01_ses-1_acq-3D_run-01", "sub-01_ses-1_acq-3D_run-02"]),
        ({"subject": "0[2-9]", "regex_search": True}, ["sub-02"]),
    ],
)
def test_filters(raw: Path, filters: dict, expected: list[str]) -> None:
    assert names(raw, filters=filters) == expected


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"participant_label": ["sub-77"]}, r"sub-77 .* There are: 01, 02"),
        ({"session_label": ["9"]}, r"ses-9 .* There are: 1, 2"),
        ({"filters": {"colour": "red"}}, "unknown key 'colour'"),
        ({"filters": {"t1w": {"run": 1}}}, '"flair"'),
        ({"filters": {"run": "one"}}, "No FLAIR image"),
        ({"filters": {"run": [[1], {"a": 1}]}}, "'run' must be"),
        ({"filters": {"acquisition": "(", "regex_search": True}}, "no regular expression"),
        ({"filters": {"session": "9"}}, "No FLAIR image"),
        ({"filters": {"suffix": "T1w"}}, "No FLAIR image"),
    ],
)
def test_refuses_what_cannot_be_meant(raw: Path, selection: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_scans(raw, **selection)


def test_refuses_folders_that_are_no_dataset(tmp_path: Path, raw: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find_scans(tmp_path / "nowhere")
    description = raw / "dataset_description.json"
    description.write_text("{")
    with pytest.raises(UsageError, match="as JSON"):
        find_scans(raw)
    description.unlink()
    with pytest.raises(UsageError, match="no dataset_description.json"):
        find_scans(raw)


def test_metadata_are_inherited(raw: Path) -> None:
    folder = raw / "sub-01/ses-1/anat"
    (raw / "FLAIR.json").write_text('{"FlipAngle": 90, "EchoTime": 1}')
    (raw / "acq-3D_FLAIR.json").write_text('{"EchoTime": 2, "EchoTrainLength": 8}')
    (raw / "acq-2D_FLAIR.json").write_text('{"FlipAngle": 0}')
    (folder / "sub-01_ses-1_acq-3D_run-01_FLAIR.json").write_text('{"EchoTime": 3}')
    first, second, third, _ = find_scans(raw)
    assert first.metadata == {"FlipAngle": 90, "EchoTime": 3, "EchoTrainLength": 8}
    assert second.metadata == {"FlipAngle": 90, "EchoTime": 2, "EchoTrainLength": 8}
    assert third.metadata == {"FlipAngle": 90, "EchoTime": 1}


@pytest.mark.parametrize("content", ["{broken", "[1, 2]"])
def test_a_bad_sidecar_stops_its_scan_alone(raw: Path, content: str) -> None:
    (raw / "sub-02/anat/sub-02_FLAIR.json").write_text(content)
    reasons = {scan.name: scan.skip_reason for scan in find_scans(raw)}
    assert "sub-02_FLAIR.json" in (reasons.pop("sub-02") or "")
    assert set(reasons.values()) == {None}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-02_part-phase_FLAIR.nii.gz", "phase part"),
        ("sub-02_part-imag_FLAIR.nii.gz", "imag part"),
        ("sub-02_dir-AP_FLAIR.nii.gz", "'dir'"),
        ("sub-02_desc-preproc_FLAIR.nii.gz", "'desc'"),
        ("sub-02_big_FLAIR.nii.gz", "'big'"),
        ("sub-02_run-a_FLAIR.nii.gz", "not a BIDS name"),
        ("sub-02_acq-3D_acq-2D_FLAIR.nii.gz", "not a BIDS name"),
        ("sub-03_FLAIR.nii.gz", "agrees with its folder"),
        ("sub-02_ses-1_FLAIR.nii.gz", "agrees with its folder"),
        ("scan_FLAIR.nii.gz", "'scan'"),
    ],
)
def test_scans_that_cannot_be_processed_say_why(make_raw: RawMaker, name: str, reason: str) -> None:
    raw = make_raw("sub-02/anat/sub-02_FLAIR.nii.gz", f"sub-02/anat/{name}")
    by_name = {scan.path.name: scan.skip_reason for scan in find_scans(raw)}
    assert by_name["sub-02_FLAIR.nii.gz"] is None
    assert reason in (by_name[name] or "")


def test_magnitude_is_kept(make_raw: RawMaker) -> None:
    raw = make_raw("sub-02/anat/sub-02_part-mag_FLAIR.nii.gz")
    assert find_scans(raw)[0].skip_reason is None


def test_one_of_two_formats_of_a_scan_is_kept(make_raw: RawMaker) -> None:
    raw = make_raw("sub-02/anat/sub-02_FLAIR.nii.gz", "sub-02/anat/sub-02_FLAIR.nii")
    first, second = find_scans(raw)
    assert first.skip_reason is None
    assert "same entities" in (second.skip_reason or "")


def test_links_without_content_are_told(make_raw: RawMaker) -> None:
    raw = make_raw("sub-02/anat/sub-02_FLAIR.nii.gz")
    (raw / "sub-02/anat/sub-02_run-2_FLAIR.nii.gz").symlink_to("../../.git/annex/missing")
    assert ["fetch" in (scan.skip_reason or "") for scan in find_scans(raw)] == [False, True]


def test_linked_datasets_and_subjects(
    tmp_path: Path, raw: Path, make_raw: RawMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = make_raw(name="farm")
    (farm / "sub-01").symlink_to(raw / "sub-01", target_is_directory=True)
    (farm / "sub-02").mkdir()
    (farm / "sub-02/anat").symlink_to(raw / "sub-02/anat", target_is_directory=True)
    link = tmp_path / "link"
    link.symlink_to(farm, target_is_directory=True)
    assert names(farm) == names(raw)
    assert [scan.path for scan in find_scans(link)] == [
        link / scan.relative_path for scan in find_scans(raw)
    ]
    monkeypatch.chdir(farm)
    assert find_scans(Path("..") / "farm") == find_scans(farm)


def test_images_are_not_opened(raw: Path) -> None:
    for path in raw.rglob("*.nii*"):
        path.write_bytes(b"")
    assert len(find_scans(raw)) == 4


def test_database_serves_other_selections(raw: Path, tmp_path: Path, make_raw: RawMaker) -> None:
    database = tmp_path / "database"
    assert names(raw, participant_label=["02"], database_dir=database) == ["sub-02"]
    made = os.stat(next(database.iterdir())).st_mtime_ns
    assert names(raw, participant_label=["01"], session_label=["2"], database_dir=database) == [
        "sub-01_ses-2"
    ]
    assert os.stat(next(database.iterdir())).st_mtime_ns == made
    with pytest.raises(UsageError, match="describes"):
        find_scans(make_raw(name="another"), database_dir=database)


def test_read_filters(tmp_path: Path) -> None:
    path = tmp_path / "filters.json"
    path.write_text(json.dumps({"flair": {"session": "1"}}))
    assert read_filters(path) == {"flair": {"session": "1"}}
    path.write_text("[]")
    with pytest.raises(UsageError, match="must hold an object"):
        read_filters(path)
    path.write_text("{")
    with pytest.raises(UsageError, match="filters.json as JSON"):
        read_filters(path)
    with pytest.raises(UsageError, match="absent.json"):
        read_filters(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("sub-01/anat/sub-01_FLAIR.nii.gz", False),
        ("sub-01/anat/sub-01_part-phase_FLAIR.nii.gz", False),
        ("sub-01/anat/sub-02_FLAIR.nii.gz", True),
        ("sub-01/anat/sub-01_acq-a b_FLAIR.nii.gz", True),
    ],
)
def test_what_ought_to_be_examined_and_cannot_be_is_refused(make_raw, name, refused):
    (scan,) = find_scans(make_raw(name))
    assert scan.is_refused is refused
