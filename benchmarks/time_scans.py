"""Seconds of every stage and peak memory, one scan at a time, as the sidecars tell them.

``python benchmarks/time_scans.py BIDS_DIR OUT WORK``: runs the participant level with one process
into empty folders and prints a table. Memory is that of the command and all its workers together.
"""

import json
import statistics
import sys
from pathlib import Path

from measure import machine, watched


def stage_seconds(out: Path) -> dict[str, dict[str, float]]:
    """Scan -> stage -> seconds, as the sidecars of a finished run tell."""
    rows = {}
    for path in sorted(out.glob("sub-*/**/*space-orig_label-anomaly_mask.json")):
        seconds = json.loads(path.read_text())["StageSeconds"]
        rows[path.name.partition("_space")[0]] = seconds
    return rows


def main(bids_dir: str, out: Path, work: Path) -> None:
    """Run, watch, print."""
    command = [sys.executable, "-m", "uadbids", bids_dir, out, "participant", "-w", work]
    cost = watched([*command, "--nprocs", "1"])
    rows = stage_seconds(out)
    stages = list(next(iter(rows.values())))
    print("\n| scan | " + " | ".join(stages) + " | sum |")
    print("|---" * (len(stages) + 2) + "|")
    for name, seconds in rows.items():
        cells = " | ".join(f"{seconds[stage]:.1f}" for stage in stages)
        print(f"| {name} | {cells} | {sum(seconds.values()):.1f} |")
    medians = [statistics.median(seconds[stage] for seconds in rows.values()) for stage in stages]
    whole = statistics.median(sum(seconds.values()) for seconds in rows.values())
    print("| **median** | " + " | ".join(f"{m:.1f}" for m in medians) + f" | {whole:.1f} |")
    print(
        f"\n{len(rows)} scans in {cost.seconds:.0f} s ({cost.seconds / len(rows):.1f} s a scan, "
        f"everything included), exit status {cost.status}, peak memory {cost.memory_mb:.0f} MB "
        f"({machine()})"
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
