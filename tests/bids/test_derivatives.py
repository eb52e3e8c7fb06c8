import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from uadbids.bids.derivatives import (
    finished_scans,
    is_finished,
    marker_path,
    scan_files,
    verify_outputs,
    verify_scan,
    write_scan,
)
from uadbids.bids.files import file_sha256
from uadbids.bids.foreign import read_tsv
from uadbids.bids.names import DERIVATIVES, derivative_path, figure_path
from uadbids.bids.query import find_scans
from uadbids.bids.scan import Scan

NAMES = (
    "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_run-01_chunk-2_FLAIR.nii.gz",
    "sub-02/anat/sub-02_FLAIR.nii.gz",
)


@pytest.fixture
def scans(make_raw: Callable[..., Path]) -> list[Scan]:
    return find_scans(make_raw(*NAMES))


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def write(out: Path, scan: Scan, files: Mapping[str, Path], **more) -> list[Path]:
    return write_scan(out, scan, files, facts={"Model": "m"}, summary={"FindingCount": 1}, **more)


def test_writes_every_kind_with_its_sidecar(
    tmp_path: Path, scans: list[Scan], made_files: Mapping[str, Path]
) -> None:
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    row = {"index": 1, "name": "lesion1", "volume_ml": 12.5, "score_max": float("nan")}
    out = tmp_path / "out"
    written = write(out, scans[0], made_files, components=[row], figures={"lesions": figure})
    assert {str(path.relative_to(out)) for path in written} == set(tree(out))
    assert set(scan_files(out, scans[0])) == set(written)
    for key, path in made_files.items():
        assert (out / derivative_path(scans[0], key)).read_bytes() == path.read_bytes()
        sidecar = json.loads((out / derivative_path(scans[0], key, ".json")).read_text())
        assert sidecar["Model"] == "m"
        for source in sidecar["Sources"]:
            dataset, _, relative = source.removeprefix("bids:").partition(":")
            assert ({"raw": tmp_path / "raw", "": out}[dataset] / relative).is_file()
    table = read_tsv(out / derivative_path(scans[0], "native_components", ".tsv"))
    assert [r["volume_ml"] for r in table] == ["12.5"]
    assert (table[0]["score_max"], table[0]["x_mm"]) == ("n/a", "n/a")
    assert (out / figure_path(scans[0], "lesions")).read_text() == "<svg/>"


def test_a_rerun_removes_what_it_did_not_make(
    tmp_path: Path, scans: list[Scan], made_files: Mapping[str, Path]
) -> None:
    out = tmp_path / "out"
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    for scan in scans:
        write(out, scan, made_files, figures={"old": figure})
    others = {name: data for name, data in tree(out).items() if "run-01" in name}
    fewer = {key: path for key, path in made_files.items() if "score" not in key}
    written = write(out, scans[0], fewer, figures={"new": figure})
    assert set(scan_files(out, scans[0])) == set(written)
    assert not (out / derivative_path(scans[0], "native_score", ".json")).exists()
    assert not (out / figure_path(scans[0], "old")).exists()
    assert {name: data for name, data in tree(out).items() if "run-01" in name} == others


def test_a_failed_run_leaves_the_old_outputs(
    tmp_path: Path, scans: list[Scan], made_files: Mapping[str, Path]
) -> None:
    out = tmp_path / "out"
    write(out, scans[0], made_files)
    before = tree(out)
    with pytest.raises(FileNotFoundError):
        write(out, scans[0], {**made_files, "native_brain": tmp_path / "absent.nii.gz"})
    assert tree(out) == before


def test_an_interrupted_replacement_counts_as_unfinished(
    tmp_path: Path, scans: list[Scan], made_files: Mapping[str, Path]
) -> None:
    out = tmp_path / "out"
    write(out, scans[0], made_files)
    blocked = out / derivative_path(scans[0], "native_brain")
    blocked.unlink()
    (blocked / "child").mkdir(parents=True)  # os.replace cannot put a file over a folder
    with pytest.raises(OSError, match="native|brain"):
        write(out, scans[0], made_files)
    assert not is_finished(out, scans[0])
    assert finished_scans(out) == []
    assert [path for path in out.rglob(".*") if path.is_file()] == []


def test_the_lesion_mask_is_required(
    tmp_path: Path, scans: list[Scan], made_files: Mapping[str, Path]
) -> None:
    files = {key: path for key, path in made_files.items() if key != "native_lesions"}
    with pytest.raises(ValueError, match="native_lesions"):
        write(tmp_path / "out", scans[0], files)
    assert not (tmp_path / "out").exists()


def test_finished_scans_are_found_again(
    tmp_path: Path, scans: list[Scan], made_files: Mapping[str, Path]
) -> None:
    out = tmp_path / "out"
    for scan in scans:
        assert not is_finished(out, scan)
        write(out, scan, made_files)
        assert is_finished(out, scan)
    found = finished_scans(out)
    assert [scan.entities for scan in found] == [scan.entities for scan in scans]
    for again, scan in zip(found, scans, strict=True):
        assert again.mask == out / derivative_path(scan, "native_lesions")
        assert again.metadata["FindingCount"] == 1
        for key in DERIVATIVES:
            assert derivative_path(again, key) == derivative_path(scan, key)
        assert figure_path(again, "x") == figure_path(scan, "x")
    assert [scan.name for scan in finished_scans(out, "02")] == ["sub-02"]
    marker_path(out, scans[2]).unlink()
    assert finished_scans(out, "02") == []


def alter_nothing(path: Path) -> None:
    """Leave all as it is."""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def add_another(path: Path) -> None:
    path.with_name(path.name.replace("brain_mask.nii.gz", "anomaly_probseg.json")).write_text("{}")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (alter_nothing, []),
        (cut, ["sub-02_space-orig_label-brain_mask.nii.gz is not as it was written"]),
        (Path.unlink, ["sub-02_space-orig_label-brain_mask.nii.gz is missing"]),
        (add_another, ["sub-02_space-orig_label-anomaly_probseg.json is not of this set"]),
    ],
)
def test_outputs_are_compared_with_what_was_written(tmp_path, scans, made_files, change, wrong):
    out, scan = tmp_path / "out", scans[2]
    files = {key: path for key, path in made_files.items() if key != "native_score"}
    write(out, scan, files)
    change(out / derivative_path(scan, "native_brain"))
    assert verify_scan(out, scan) == [f"sub-02/anat/{text}" for text in wrong]


def test_outputs_of_another_image_are_told(tmp_path, scans, made_files):
    out, scan = tmp_path / "out", scans[2]
    facts = {"SourceSHA256": file_sha256(scan.path)}
    write_scan(out, scan, made_files, facts=facts, summary={})
    raw = tmp_path / "raw"
    assert verify_outputs(out, raw) == {"sub-02": []}
    scan.path.write_bytes(b"another")
    wrong = ["sub-02_FLAIR.nii.gz is not the image that they were made from"]
    assert verify_outputs(out, raw) == {"sub-02": wrong}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"OutputSHA256": 3}'])
def test_a_marker_of_other_hands_verifies_nothing(tmp_path, scans, content):
    marker = marker_path(tmp_path, scans[2])
    marker.parent.mkdir(parents=True)
    marker.write_text(content)
    assert len(verify_scan(tmp_path, scans[2])) == 1


def test_what_a_killed_process_left_is_no_finished_scan(tmp_path, scans, made_files):
    write(tmp_path / "out", scans[2], made_files)
    marker = marker_path(tmp_path / "out", scans[2])
    marker.with_name(f".0123456789ab_{marker.name}").write_bytes(marker.read_bytes())
    assert [scan.name for scan in finished_scans(tmp_path / "out")] == ["sub-02"]
