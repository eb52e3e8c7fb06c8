"""Runs of one scan, and what they leave."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from robustness.kills import contents, stage_is_on
from uadbids.bids.derivatives import finished_scans, verify_scan

NAME = "sub-20_ses-2"


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


def begin(raw: Path, out: Path, work: Path, **how: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(raw, out, work),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # As from a terminal: what is started in the background ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **how,
    )


def wait_for(process: subprocess.Popen[str], work: Path, stage: str) -> None:
    while not stage_is_on(work, stage):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def forget_writing(work: Path) -> None:
    """Let the next run write its outputs anew, which it does not where they are as they were."""
    (folder,) = work.glob("uadbids_*/*/derive")
    shutil.rmtree(folder)


def of_scan(out: Path) -> dict[str, str]:
    """Hashes of what belongs to the scan; the rest tells where the dataset lies."""
    return {name: sha256 for name, sha256 in contents(out).items() if name.startswith("sub-")}


def wrong(out: Path) -> list[str]:
    return [clause for scan in finished_scans(out) for clause in verify_scan(out, scan)]


def flair(raw: Path) -> Path:
    return raw / "sub-20" / "ses-2" / "anat" / f"{NAME}_FLAIR.nii.gz"
