"""Faults of machines: each ends in a sentence, leaves nothing half-written, and is gone on from.

Full disks are small file systems in memory, which need root to be mounted.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from robustness.kills import alive, contents
from robustness.running import (
    NAME,
    begin,
    command,
    flair,
    forget_writing,
    of_scan,
    run,
    wait_for,
    wrong,
)
from uadbids.bids.derivatives import finished_scans
from uadbids.run.examine import CLAIMED

pytestmark = pytest.mark.robustness
FULL = "the disk is full; free space in work and output folder, and run the same command again"
needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


def left_over(out: Path) -> list[Path]:
    """Files under temporary names."""
    return [path for path in out.rglob(".*") if path.name != ".bidsignore"]


@contextmanager
def memory_disk(folder: Path, size: str):
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


@needs_mount
def test_a_full_work_disk_is_told_and_gone_on_from(well, raw, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    with memory_disk(work, "6m"):
        status, text = run(raw, out, work)
        assert status == 1
        assert f"{NAME}: failed: {FULL}" in text
        assert finished_scans(out) == []
        remount(work, "size=1g")
        assert run(raw, out, work)[0] == 0
    assert of_scan(out) == of_scan(well / "out")


@needs_mount
def test_a_full_output_disk_is_told_and_gone_on_from(well, tmp_path):
    out = tmp_path / "out"
    with memory_disk(out, "2500k"):
        status, text = run(well / "raw", out, well / "work")
        assert status == 1
        assert f"{NAME}: failed: {FULL}" in text
        assert finished_scans(out) == [] and left_over(out) == []
        remount(out, "size=1g")
        assert run(well / "raw", out, well / "work")[0] == 0
        assert of_scan(out) == of_scan(well / "out")


@needs_mount
def test_an_output_disk_that_fills_up_keeps_the_earlier_outputs(well, tmp_path):
    out = tmp_path / "out"
    with memory_disk(out, "1g"):
        assert run(well / "raw", out, well / "work")[0] == 0
        before = contents(out)
        filler = out / "filler"
        free = os.statvfs(out)
        filler.write_bytes(bytes(free.f_bavail * free.f_frsize - 500_000))
        forget_writing(well / "work")
        status, text = run(well / "raw", out, well / "work")
        assert status == 1
        assert f"{NAME}: failed: {FULL}" in text
        assert "(its outputs of an earlier run were left in place)" in text
        filler.unlink()
        assert contents(out) == before and wrong(out) == []


@needs_mount
def test_a_read_only_output_folder_is_refused(well, tmp_path):
    out = tmp_path / "out"
    with memory_disk(out, "1g"):
        remount(out, "ro")
        status, text = run(well / "raw", out, well / "work")
    assert status == 2
    assert f"uadbids: the output folder {out} cannot be written (Read-only file system" in text


def test_too_little_memory_is_told(whole, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1_700_000_000, 1_700_000_000))

    status, text = run(whole, tmp_path / "out", tmp_path / "work", preexec_fn=limit)
    assert status == 1
    line = next(line for line in text.splitlines() if line.startswith(f"{NAME}: failed:"))
    assert re.search("not enough memory|want of memory", line), line
    assert finished_scans(tmp_path / "out") == []


@pytest.mark.parametrize(("fate", "word"), [("gone", "vanished"), ("other", "changed")])
def test_a_source_that_does_not_stay_is_noticed(raw, tmp_path, fate, word):
    out, work = tmp_path / "out", tmp_path / "work"
    process = begin(raw, out, work)
    wait_for(process, work, "n4")
    path = flair(raw)
    if fate == "gone":
        path.unlink()
    else:
        image = nib.load(path)
        image.header.set_sform(np.diag([-2, 2, 2, 1]) @ image.affine, code=1)
        image.to_filename(path)
    text = process.communicate(timeout=900)[0]
    assert process.returncode == 1
    assert f"{word} while it was examined; nothing was written" in text
    assert finished_scans(out) == []


def test_a_damaged_intermediate_result_is_made_again(well):
    (damaged,) = (well / "work").rglob("volume.nii.gz")
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    (torn,) = (well / "work").rglob("result_detect.pklz")
    torn.write_bytes(torn.read_bytes()[:-10])
    before = contents(well / "out")
    assert run(well / "raw", well / "out", well / "work")[0] == 0
    assert contents(well / "out") == before


def test_two_runs_in_one_work_directory_do_not_meet(well, raw, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    first = begin(raw, out, work)
    wait_for(first, work, "n4")
    status, text = run(raw, out, work)
    assert status == 1
    assert f"{NAME}: failed: {CLAIMED}" in text
    first.communicate(timeout=900)
    assert first.returncode == 0
    assert of_scan(out) == of_scan(well / "out") and wrong(out) == []


def test_two_runs_that_write_one_scan_do_not_mix(well, tmp_path):
    """Both take all but the writing from their cache: they write at the same time."""
    out = tmp_path / "out"
    works = [Path(shutil.copytree(well / "work", tmp_path / name)) for name in ("a", "b")]
    for _ in range(3):
        for work in works:
            forget_writing(work)
        runs = [begin(well / "raw", out, work) for work in works]
        texts = [process.communicate(timeout=900)[0] for process in runs]
        assert [process.returncode for process in runs] == [0, 0], texts
        assert of_scan(out) == of_scan(well / "out") and wrong(out) == []


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_run(whole, tmp_path, sent):
    process = begin(whole, tmp_path / "out", tmp_path / "work")
    wait_for(process, tmp_path / "work", "brain_mask")
    os.kill(process.pid, sent)
    text = process.communicate(timeout=120)[0]
    deadline = time.monotonic() + 10
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(process.pid) == []
    if sent != signal.SIGKILL:
        assert process.returncode == 130
        assert "stopped; the same command goes on from here" in text


def test_outputs_that_are_not_as_written_are_told(well, tmp_path):
    reports = [*command(well / "raw", tmp_path / "out", tmp_path / "work"), "--reports-only"]
    out = Path(shutil.copytree(well / "out", tmp_path / "out"))
    path = next(out.rglob("*space-orig_label-anomaly_probseg.nii.gz"))
    done = subprocess.run(reports, capture_output=True, text=True, check=False)
    assert (done.returncode, "verified: 1 of 1" in done.stderr) == (0, True)
    path.write_bytes(path.read_bytes()[:-1])
    done = subprocess.run(reports, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{path.name} is not as it was written" in done.stderr


def test_outputs_hold_no_names_and_no_paths(well, raw, tmp_path):
    told = {
        "PatientName": "Doe^Jane",
        "DeviceSerialNumber": "serial number 4711",
        "SeriesDescription": "<script>alert(1)</script>",
    }
    side = flair(raw).with_name(f"{NAME}_FLAIR.json")
    side.write_text(json.dumps({**json.loads(side.read_text()), **told}))
    out = tmp_path / "out"
    assert run(raw, out, well / "work")[0] == 0
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".html", ".tsv", ".md", ".svg", ".txt"}:
            text = path.read_text()
            for secret in (*told.values(), str(tmp_path), str(well)):
                assert secret not in text, f"{secret} in {path.name}"
