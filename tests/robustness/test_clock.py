"""No decision rests on a time of day or of a file."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from robustness.kills import contents
from robustness.running import begin, flair, of_scan, run, wait_for
from uadbids.bids.derivatives import finished_scans, verify_scan

pytestmark = pytest.mark.robustness
# A clock of the day that goes back by a minute every second, for every program that asks the C
# library. (libfaketime 0.9.10 will not do: under it Python's own `sleep` fails.)
BACKWARDS = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *t) {
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return syscall(SYS_clock_gettime, id, t);
    int failed = syscall(SYS_clock_gettime, CLOCK_MONOTONIC, t);
    double seconds = 1.5e9 - 60 * (t->tv_sec + t->tv_nsec * 1e-9);
    t->tv_sec = seconds;
    t->tv_nsec = (seconds - t->tv_sec) * 1e9;
    return failed;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return t ? (*t = now.tv_sec) : now.tv_sec;
}
"""


@pytest.fixture
def backwards(tmp_path):
    """Environment of a command for which the clock runs backwards."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler, which makes the clock")
    source, library = tmp_path / "backwards.c", tmp_path / "backwards.so"
    source.write_text(BACKWARDS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    ask = "import time; a = time.time(); time.sleep(0.1); print(time.time() - a)"
    done = subprocess.run(
        [sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < -1
    return environment


def test_a_clock_that_runs_backwards_changes_nothing(well, tmp_path, backwards):
    """During a run, and from one to the next: one is stopped, one ends, one takes all again."""
    out, work = tmp_path / "out", tmp_path / "work"
    process = begin(well / "raw", out, work, env=backwards)
    wait_for(process, work, "n4")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert run(well / "raw", out, work, env=backwards)[0] == 0
    assert of_scan(out) == of_scan(well / "out")
    results = {path: path.stat().st_mtime_ns for path in work.rglob("result_*.pklz")}
    assert run(well / "raw", out, work, env=backwards)[0] == 0
    assert of_scan(out) == of_scan(well / "out")
    redone = {path.name for path in results if path.stat().st_mtime_ns != results[path]}
    assert redone == set()


def test_times_of_files_decide_nothing(well, tmp_path):
    """A clock that was wrong, or set back, leaves files of the future; a copy leaves old times."""
    # Whoever used this work directory last may have written into another folder.
    assert run(well / "raw", well / "out", well / "work")[0] == 0
    for path in (well / "work").rglob("*"):
        os.utime(path, (4e9, 4e9))
    before = contents(well / "out")
    results = {p: p.stat().st_mtime for p in (well / "work").rglob("result_*.pklz")}
    assert run(well / "raw", well / "out", well / "work")[0] == 0
    assert contents(well / "out") == before
    redone = {path.name for path in results if path.stat().st_mtime != results[path]}
    assert redone == set()


def test_another_image_of_the_same_size_and_time_is_examined_anew(well, tmp_path):
    raw = Path(shutil.copytree(well / "raw", tmp_path / "raw"))
    path = flair(raw)
    times, size = path.stat(), path.stat().st_size
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    data[data < 20] = 0  # to be smaller, packed
    data[75:83, 65:75, 28:34] = 200
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
