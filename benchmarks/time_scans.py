"""Seconds of every stage and peak memory, one scan at a time, as the sidecars tell them.

``python benchmarks/time_scans.py BIDS_DIR OUT WORK``: runs the participant level with one process
into empty folders and prints a table. *Wall* is the time from the outputs of the scan before, or
from the start of the command, to those of this one: everything counts. Memory is that of the
command and all its workers together.
"""

import json
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

from measure import machine, watched


def markers(out: Path) -> list[Path]:
    """Files that were written last of each scan, in the order in which they were."""
    found = out.glob("sub-*/**/*space-orig_label-anomaly_mask.json")
    return sorted(found, key=lambda path: path.stat().st_mtime)


def main(bids_dir: str, out: Path, work: Path) -> None:
    """Run, watch, print."""
    began = time.time()
    command = [sys.executable, "-m", "uadbids", bids_dir, out, "participant", "-w", work]
    cost = watched([*command, "--nprocs", "1"])
    rows: dict[str, dict[str, float]] = {}
    ends = [began, *(path.stat().st_mtime for path in markers(out))]
    for path, (before, after) in zip(markers(out), pairwise(ends), strict=True):
        seconds = json.loads(path.read_text())["StageSeconds"]
        sums = {"sum": sum(seconds.values()), "wall": after - before}
        rows[path.name.partition("_space")[0]] = seconds | sums
    stages = list(next(iter(rows.values())))
    rows["**median**"] = {
        stage: statistics.median(seconds[stage] for seconds in rows.values()) for stage in stages
    }
    print("\n| scan | " + " | ".join(stages) + " |")
    print("|---" * (len(stages) + 1) + "|")
    for name, seconds in rows.items():
        print(f"| {name} | " + " | ".join(f"{seconds[stage]:.1f}" for stage in stages) + " |")
    number = len(ends) - 1
    print(
        f"\n{number} scans in {cost.seconds:.0f} s ({cost.seconds / number:.1f} s a scan, "
        f"{cost.cpu_seconds / number:.1f} CPU s; everything included), exit status {cost.status}, "
        f"peak memory {cost.memory_mb:.0f} MB ({machine()})"
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
