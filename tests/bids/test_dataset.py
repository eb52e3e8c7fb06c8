import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from uadbids import __version__
from uadbids.bids.dataset import (
    check_output_dir,
    container_from_environment,
    raw_link,
    write_dataset,
)
from uadbids.bids.derivatives import write_scan
from uadbids.bids.foreign import read_tsv
from uadbids.bids.names import derivative_path
from uadbids.bids.query import find_scans
from uadbids.errors import UsageError

SUMMARY = {
    "FindingVolumeMl": 1.5,
    "FindingCount": 2,
    "BrainVolumeMl": 1300.0,
    "ExaminedBrainFraction": 0.9,
}
WITH_SESSIONS = (
    "sub-01/ses-1/anat/sub-01_ses-1_task-rest_acq-3D_ce-gad_rec-a_run-01_echo-1_part-mag_chunk-2"
    "_FLAIR.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_acq-3D_run-02_FLAIR.nii",
    "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz",
    "sub-02/ses-1/anat/sub-02_ses-1_FLAIR.nii.gz",
)
WITHOUT_SESSIONS = (
    "sub-01/anat/sub-01_acq-2D_run-1_FLAIR.nii.gz",
    "sub-01/anat/sub-01_acq-3D_run-1_FLAIR.nii.gz",
    "sub-02/anat/sub-02_FLAIR.nii.gz",
)


def process(out: Path, raw: Path, files: Mapping[str, Path], parts: dict, **selection) -> None:
    """Write what a run writes."""
    row = {"index": 1, "name": "lesion1", "volume_ml": 0.012, "x_mm": -3.5}
    for scan in find_scans(raw, **selection):
        write_scan(
            out,
            scan,
            files,
            facts={"UadbidsVersion": "0.1.0", "Threshold": 0.1, "Warnings": []},
            summary=SUMMARY,
            components=[row],
            figures={"lesions": files["xfm"]},
        )
    write_dataset(out, raw, **parts)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


@pytest.mark.parametrize("images", [WITH_SESSIONS, WITHOUT_SESSIONS])
@pytest.mark.parametrize("calibrated", [True, False])
def test_the_output_is_valid_bids(
    tmp_path: Path,
    make_raw: Callable[..., Path],
    made_files: Mapping[str, Path],
    dataset_parts: dict[str, Any],
    validate: Callable[[Path], list[dict[str, Any]]],
    images: tuple[str, ...],
    calibrated: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = make_raw(*images)
    (raw / "participants.tsv").write_text(
        "participant_id\tage\tsex\tname\nsub-01\t92\tM\tDoe\nsub-02\t30.5\tF\tRoe\n"
    )
    out = tmp_path / "out"
    kept = {key: path for key, path in made_files.items() if calibrated or "score" not in key}
    monkeypatch.setenv("UADBIDS_CONTAINER_TAG", "u:1")
    process(out, raw, kept, dataset_parts)
    for extra in ("sub-01.html", "group_FLAIR.tsv", "sub-01/log/1-2/crash.txt", "logs/x.bib"):
        (out / extra).parent.mkdir(parents=True, exist_ok=True)
        (out / extra).write_text("text")
    assert validate(out) == []


def test_the_validator_is_awake(
    make_raw: Callable[..., Path], validate: Callable[[Path], list[dict[str, Any]]]
) -> None:
    raw = make_raw("sub-01/anat/sub-01_desc-wrong_FLAIR.nii.gz")
    assert "ENTITY_NOT_IN_RULE" in {issue["code"] for issue in validate(raw)}


def test_writing_again_changes_nothing(
    tmp_path: Path,
    make_raw: Callable[..., Path],
    made_files: Mapping[str, Path],
    dataset_parts: dict[str, Any],
) -> None:
    raw, out = make_raw(*WITH_SESSIONS), tmp_path / "out"
    process(out, raw, made_files, dataset_parts)
    before = tree(out)
    write_dataset(out, raw, **dataset_parts)
    assert tree(out) == before
    leaks = [name for name, (_, data) in before.items() if str(tmp_path).encode() in data]
    assert leaks == []


def test_a_second_run_on_others_keeps_the_first(
    tmp_path: Path,
    make_raw: Callable[..., Path],
    made_files: Mapping[str, Path],
    dataset_parts: dict[str, Any],
) -> None:
    raw, out = make_raw(*WITH_SESSIONS), tmp_path / "out"
    (raw / "participants.tsv").write_text("participant_id\tage\tgroup\nsub-01\t40\tMS\n")
    (raw / "participants.json").write_text('{"age": {"Description": "At scan"}}')
    process(out, raw, made_files, dataset_parts, participant_label=["01"])
    (raw / "participants.tsv").unlink()
    process(out, raw, made_files, dataset_parts, participant_label=["02"])
    assert read_tsv(out / "participants.tsv") == [
        {"participant_id": "sub-01", "age": "40"},
        {"participant_id": "sub-02", "age": "n/a"},
    ]
    rows = read_tsv(out / "sub-01/ses-1/sub-01_ses-1_scans.tsv")
    assert [row["finding_volume_ml"] for row in rows] == ["1.5", "1.5"]
    assert all((out / "sub-01/ses-1" / row["filename"]).is_file() for row in rows)
    assert (out / "sub-02/ses-1/sub-02_ses-1_scans.json").is_file()
    finished = find_scans(raw, participant_label=["02"])[0]
    (out / derivative_path(finished, "native_lesions", ".json")).unlink()
    write_dataset(out, raw, **dataset_parts)
    assert not list((out / "sub-02").rglob("*_scans.*"))


def test_description_credits_and_links(
    tmp_path: Path, make_raw: Callable[..., Path], dataset_parts: dict[str, Any]
) -> None:
    raw = make_raw(Authors=["A. Doe"], DatasetDOI="doi:10.1/x")
    write_dataset(raw / "derivatives" / "uadbids", raw, **dataset_parts)
    path = raw / "derivatives" / "uadbids" / "dataset_description.json"
    found = json.loads(path.read_text())
    assert found["Authors"] == ["A. Doe", "uadbids developers"]
    assert found["SourceDatasets"] == [{"URL": "../..", "DOI": "doi:10.1/x"}]
    assert found["DatasetLinks"] == {"raw": "../.."}
    assert found["GeneratedBy"] == [{"Name": "uadbids", "Version": __version__}]
    assert json.loads((path.parent / "code/model/model_card.json").read_text())["license"] == "MIT"
    readme = (path.parent / "README.md").read_text()
    assert "Not a medical device" in readme
    assert "- model: dense3d" in readme


@pytest.mark.parametrize(
    ("raw", "out", "link"),
    [
        ("/study/raw", "/study/derivatives/uadbids", "../../raw"),
        ("/study/my raw", "/study/out", "../my%20raw"),
        ("/data", "/out", "../data"),
        ("/home/alice/study", "/scratch/out", "sourcedata/raw"),
    ],
)
def test_links_tell_no_absolute_path(raw: str, out: str, link: str) -> None:
    assert raw_link(Path(raw), Path(out)) == link


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"Name": "x"}', '{"GeneratedBy": [{"Name": "fMRIPrep"}]}'],
)
def test_other_datasets_are_not_overwritten(
    tmp_path: Path, make_raw: Callable[..., Path], dataset_parts: dict[str, Any], content: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    check_output_dir(out)
    check_output_dir(tmp_path / "absent")
    (out / "dataset_description.json").write_text(content)
    with pytest.raises(UsageError, match="did not make"):
        write_dataset(out, make_raw(), **dataset_parts)
    assert [path.name for path in out.iterdir()] == ["dataset_description.json"]
    with pytest.raises(UsageError, match="is a file"):
        check_output_dir(out / "dataset_description.json")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"UADBIDS_CONTAINER_TAG": "u:1"}, {"Type": "docker", "Tag": "u:1"}),
        ({"APPTAINER_CONTAINER": "/home/a/u.sif"}, {"Type": "apptainer", "Tag": "u.sif"}),
        (
            {"SINGULARITY_CONTAINER": "/home/a/u.sif", "UADBIDS_CONTAINER_TAG": "u:1"},
            {"Type": "apptainer", "Tag": "u:1"},
        ),
    ],
)
def test_container(environment: dict[str, str], expected: dict[str, str] | None) -> None:
    assert container_from_environment(environment) == expected
