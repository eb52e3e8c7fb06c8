"""Seconds of every stage and peak memory, one scan at a time, as the sidecars tell them.

``python benchmarks/time_scans.py BIDS_DIR OUT WORK``: runs the participant level with one process
into empty folders and prints a table. Memory is that of the command and all its workers together
(proportional set size, looked at twice a second; Linux).
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def tree_memory_mb(root: int) -> float:
    """Memory of a process and everything below it."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    total, todo = 0, [root]
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rollup.splitlines() if row.startswith("Pss:"))
    return total / 1024


def main(bids_dir: str, out: Path, work: Path) -> None:
    """Run, watch, print."""
    command = [sys.executable, "-m", "uadbids", bids_dir, out, "participant", "-w", work]
    started, peak = time.monotonic(), 0.0
    process = subprocess.Popen([*map(str, command), "--nprocs", "1"])
    while process.poll() is None:
        peak = max(peak, tree_memory_mb(process.pid))
        time.sleep(0.5)
    wall = time.monotonic() - started

    rows = {}
    for path in sorted(out.glob("sub-*/**/*space-orig_label-anomaly_mask.json")):
        seconds = json.loads(path.read_text())["StageSeconds"]
        rows[path.name.partition("_space")[0]] = seconds
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
        f"\n{len(rows)} scans in {wall:.0f} s ({wall / len(rows):.1f} s a scan, everything "
        f"included), exit status {process.returncode}, peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
