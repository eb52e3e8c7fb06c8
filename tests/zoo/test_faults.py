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
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uadbids.bids.derivatives import finished_scans, verify_scan
from uadbids.commands.examine import CLAIMED
from zoo.kills import alive, contents, stage_is_on

pytestmark = pytest.mark.zoo
NAME = "sub-20_ses-2"
FULL = "the disk is full; make room in the work and output folders, and run the same command again"
needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


def command(raw: Path, out: Path, work: Path) -> list[str]:
    start = [sys.executable, "-m", "uadbids", str(raw), str(out), "participant"]
    return [*start, "-w", str(work), "--nprocs", "1"]


def run(raw: Path, out: Path, work: Path, **how: object) -> tuple[int, str]:
    done = subprocess.run(
        command(raw, out, work), capture_output=True, text=True, check=False, timeout=900, **how
    )
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    return done.returncode, text


def begin(raw: Path, out: Path, work: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(raw, out, work),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], work: Path, stage: str) -> None:
    while not stage_is_on(work, stage):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def of_scan(out: Path) -> dict[str, str]:
    """Hashes of what belongs to the scan; the rest tells where the dataset lies."""
    return {name: sha256 for name, sha256 in contents(out).items() if name.startswith("sub-")}


def wrong(out: Path) -> list[str]:
    return [clause for scan in finished_scans(out) for clause in verify_scan(out, scan)]


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


@pytest.fixture(scope="module")
def well(tmp_path_factory, example_dataset):
    """A run that nothing disturbed: its folder with ``raw``, ``out`` and ``work``."""
    root = tmp_path_factory.mktemp("well")
    shutil.copytree(example_dataset, root / "raw")
    status, text = run(root / "raw", root / "out", root / "work")
    assert status == 0, text
    return root


@pytest.fixture
def raw(tmp_path, example_dataset):
    return Path(shutil.copytree(example_dataset, tmp_path / "raw"))


def flair(raw: Path) -> Path:
    return raw / "sub-20" / "ses-2" / "anat" / f"{NAME}_FLAIR.nii.gz"


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


def test_too_little_memory_is_told(raw, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1_700_000_000, 1_700_000_000))

    status, text = run(raw, tmp_path / "out", tmp_path / "work", preexec_fn=limit)
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


def test_times_of_files_decide_nothing(well, tmp_path):
    """A clock that was wrong, or set back, leaves files of the future; a copy leaves old times."""
    for path in (well / "work").rglob("*"):
        os.utime(path, (4e9, 4e9))
    before = contents(well / "out")
    results = {p: p.stat().st_mtime for p in (well / "work").rglob("result_*.pklz")}
    assert run(well / "raw", well / "out", well / "work")[0] == 0
    assert contents(well / "out") == before
    redone = {path.name for path in results if path.stat().st_mtime != results[path]}
    assert redone == {"result_write.pklz"}


def test_another_image_of_the_same_size_and_time_is_examined_anew(well, tmp_path):
    raw = Path(shutil.copytree(well / "raw", tmp_path / "raw"))
    path = flair(raw)
    times, size = path.stat(), path.stat().st_size
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    data[:, :, :3] = 0  # to be smaller, packed
    data[150:165, 130:150, 28:34] = 200
    nib.Nifti1Image(data, image.affine, image.header).to_filename(path)
    content = path.read_bytes()
    assert len(content) <= size
    # Zeros behind the end of a gzip stream are allowed: the sizes are the same.
    path.write_bytes(content + bytes(size - len(content)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    work = Path(shutil.copytree(well / "work", tmp_path / "work"))
    assert run(raw, tmp_path / "out", work)[0] == 0
    assert contents(tmp_path / "out") != contents(well / "out")
    (scan,) = finished_scans(tmp_path / "out")
    assert verify_scan(tmp_path / "out", scan, path) == []
    assert verify_scan(well / "out", scan, path) == [
        f"{path.name} is not the image that they were made from"
    ]


def test_a_damaged_intermediate_result_is_made_again(well):
    (damaged,) = (well / "work").rglob("corrected.nii.gz")
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    (torn,) = (well / "work").rglob("result_detect.pklz")
    torn.write_bytes(torn.read_bytes()[:-10])
    before = contents(well / "out")
    assert run(well / "raw", well / "out", well / "work")[0] == 0
    assert contents(well / "out") == before


def test_two_runs_in_one_work_directory_do_not_meet(well, raw, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    first = begin(raw, out, work)
    wait_for(first, work, "conform")
    status, text = run(raw, out, work)
    assert status == 1
    assert f"{NAME}: failed: {CLAIMED}" in text
    first.communicate(timeout=900)
    assert first.returncode == 0
    assert of_scan(out) == of_scan(well / "out") and wrong(out) == []


def test_two_runs_that_write_one_scan_do_not_mix(well, tmp_path):
    """Both take all from their cache, so that they write at the same time."""
    out = tmp_path / "out"
    works = [Path(shutil.copytree(well / "work", tmp_path / name)) for name in ("a", "b")]
    for _ in range(3):
        runs = [begin(well / "raw", out, work) for work in works]
        texts = [process.communicate(timeout=900)[0] for process in runs]
        assert [process.returncode for process in runs] == [0, 0], texts
        assert of_scan(out) == of_scan(well / "out") and wrong(out) == []


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_run(raw, tmp_path, sent):
    process = begin(raw, tmp_path / "out", tmp_path / "work")
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
        "DeviceSerialNumber": "4711",
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
