"""Many scans run a batch at a time; what happens in one is nothing to the next."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# With one process, a batch has four scans at least.
SMALL_BATCHES = """
import sys
from uadbids.cli import main
from uadbids.run import examine
examine.BATCH = 4
main(sys.argv[1:])
"""


@pytest.fixture
def empty_scans(tmp_path):
    """Six scans of zero bytes: each fails in its first step."""
    raw = tmp_path / "raw"
    for number in range(6):
        path = raw / f"sub-{number}" / "anat" / f"sub-{number}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    about = {"Name": "six", "BIDSVersion": "1.10.0"}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    return raw


@pytest.mark.parametrize(
    ("flag", "n_stopped"), [("--skip-bids-validation", 0), ("--stop-on-first-crash", 2)]
)
def test_every_scan_of_every_batch_is_told(empty_scans, tmp_path, flag, n_stopped):
    arguments = [str(empty_scans), str(tmp_path / "out"), "participant", "--nprocs", "1", flag]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_BATCHES, *arguments, "-w", str(tmp_path / "work")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if ": failed: " in line]
    assert sorted(line.partition(":")[0] for line in told) == [f"sub-{n}" for n in range(6)]
    assert sum("stopped at the first failure" in line for line in told) == n_stopped
    assert "done: 0 of 6, failed: 6, skipped: 0" in done.stderr
