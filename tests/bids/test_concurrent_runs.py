"""Runs of several participants write into one folder at the same moment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from uadbids.bids import tables
from uadbids.bids.dataset import write_dataset
from uadbids.bids.derivatives import write_scan
from uadbids.bids.foreign import read_tsv
from uadbids.bids.query import find_scans
from uadbids.bids.tables import write_tables

SUMMARY = {"FindingVolumeMl": 1.5, "FindingCount": 2, "BrainVolumeMl": 1300.0}
FACTS = {"UadbidsVersion": "0.1.0", "Threshold": 0.1, "Warnings": []}
LABELS = [f"{number:02d}" for number in range(8)]


@pytest.fixture
def study(make_raw):
    raw = make_raw(*(f"sub-{label}/anat/sub-{label}_FLAIR.nii.gz" for label in LABELS))
    rows = [f"sub-{label}\t{40 + int(label)}" for label in LABELS]
    (raw / "participants.tsv").write_text("\n".join(["participant_id\tage", *rows, ""]))
    return raw


def finish(out, raw, files, label, *, subjects=None):
    (scan,) = find_scans(raw, participant_label=[label])
    write_scan(out, scan, files, facts=FACTS, summary=SUMMARY)
    write_tables(out, raw, subjects)


def participants(out):
    return [row["participant_id"] for row in read_tsv(out / "participants.tsv")]


def test_a_table_replaced_by_an_older_state_is_made_again(tmp_path, study, made_files, monkeypatch):
    """Run 01 has listed the folder, run 02 comes to its end, then run 01 writes."""
    out, write = tmp_path / "out", tables.write_bytes

    def late(path, content):
        if path.name == "participants.tsv" and not (out / "sub-02").exists():
            finish(out, study, made_files, "02")
        return write(path, content)

    monkeypatch.setattr(tables, "write_bytes", late)
    finish(out, study, made_files, "01")
    assert participants(out) == ["sub-01", "sub-02"]
    assert (out / "sub-02" / "sub-02_scans.tsv").is_file()


def test_a_run_leaves_the_tables_of_other_participants_alone(tmp_path, study, made_files):
    out = tmp_path / "out"
    finish(out, study, made_files, "01")
    table = out / "sub-01" / "sub-01_scans.tsv"
    # As while run 01 replaces its outputs: a table, and no finished scan.
    next(out.glob("sub-01/anat/*_space-orig_label-anomaly_mask.json")).unlink()
    finish(out, study, made_files, "02", subjects=["02"])
    assert table.is_file()
    assert participants(out) == ["sub-01", "sub-02"]
    write_tables(out, study)
    assert not table.exists()


RUN = """
import json, sys, time
from pathlib import Path
from uadbids.bids.dataset import write_dataset
from uadbids.bids.derivatives import write_scan
from uadbids.bids.query import find_scans

label, told = sys.argv[1], json.loads(sys.argv[2])
raw, out = Path(told["raw"]), Path(told["out"])
(scan,) = find_scans(raw, participant_label=[label])
parts = {**told["parts"], **{key: Path(path) for key, path in told["templates"].items()}}
files = {key: Path(path) for key, path in told["files"].items()}
while not (out.parent / "go").exists():
    time.sleep(0.001)
write_dataset(out, raw, **parts, subjects=[label])
write_scan(out, scan, files, facts=told["facts"], summary=told["summary"])
write_dataset(out, raw, **parts, subjects=[label])
"""


@pytest.mark.slow
def test_processes_that_start_together_leave_whole_tables(
    tmp_path: Path, study, made_files, dataset_parts, validate
):
    told = {
        "raw": str(study),
        "out": str(tmp_path / "out"),
        "files": {key: str(path) for key, path in made_files.items()},
        "parts": {key: v for key, v in dataset_parts.items() if not isinstance(v, Path)},
        "templates": {key: str(v) for key, v in dataset_parts.items() if isinstance(v, Path)},
        "facts": FACTS,
        "summary": SUMMARY,
    }
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN, label, json.dumps(told)]) for label in LABELS
    ]
    (tmp_path / "go").touch()
    assert [run.wait(timeout=120) for run in runs] == [0] * len(LABELS)
    out = tmp_path / "out"
    assert read_tsv(out / "participants.tsv") == [
        {"participant_id": f"sub-{label}", "age": str(40 + int(label))} for label in LABELS
    ]
    assert len(list(out.glob("sub-*/sub-*_scans.tsv"))) == len(LABELS)
    assert list(out.rglob(".*_*")) == []
    assert validate(out) == []
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_dataset(out, study, **dataset_parts)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
