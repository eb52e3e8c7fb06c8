"""No two runs work on one scan, and a run that is gone holds none."""

import subprocess
import sys

from uadbids.run.claims import Claims

HOLD = """
import sys
from pathlib import Path
from uadbids.run.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print(claims.take("sub-01_wf"), flush=True)
    sys.stdin.read()
"""


def test_a_claim_holds_until_its_process_is_gone(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "True\n"
    with Claims(tmp_path) as claims:
        assert not claims.take("sub-01_wf")
        assert claims.take("sub-02_wf")
        other.kill()
        other.communicate()
        assert claims.take("sub-01_wf")


def test_many_scans_need_one_file(tmp_path):
    with Claims(tmp_path) as claims:
        assert all(claims.take(f"sub-{number}_wf") for number in range(5000))
