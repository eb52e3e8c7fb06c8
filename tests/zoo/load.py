"""Examine many scans in one call, and watch memory, processes, open files, threads and disk.

    PYTHONPATH=tests python -m zoo.load FOLDER --scans 300 [--every N]

The scans are links to one small scan (the example at half its resolution) under made-up subjects;
with ``--every N`` all but each N-th are empty files, which are refused: so the command's own growth
shows without hours of computing. Prints the measurements and the growth for each scan, and keeps
them in FOLDER/load.json.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import uadbids
from zoo.kills import alive
from zoo.making import Head, save

EXAMPLE = Path(uadbids.__file__).parent / "data/example/sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz"
SECONDS = 5.0


def make_dataset(folder: Path, n_scans: int, every: int) -> Path:
    raw = folder / "raw"
    raw.mkdir(parents=True)
    about = {"Name": "load", "BIDSVersion": "1.10.0"}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    small, empty = folder / "small.nii.gz", folder / "empty.nii.gz"
    save(small, Head.read(EXAMPLE))
    empty.touch()
    for number in range(n_scans):
        path = raw / f"sub-{number:05d}" / "anat" / f"sub-{number:05d}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        path.symlink_to(os.path.relpath(empty if number % every else small, path.parent))
    return raw


def status(pid: int) -> dict[str, int]:
    text = Path(f"/proc/{pid}/status").read_text()
    found = {
        key: re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE) for key in ("VmRSS", "Threads")
    }
    kilobytes, threads = (int(match[1]) if match else 0 for match in found.values())
    return {
        "mb": kilobytes // 1024,
        "threads": threads,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def measure(parent: int, out: Path) -> dict[str, int] | None:
    """Measure the parent and, together, all processes that it has started."""
    try:
        own = status(parent)
        others = [status(pid) for pid in alive(parent) if pid != parent]
    except (FileNotFoundError, ProcessLookupError):
        return None
    done = sum(1 for _ in out.glob("sub-*/anat/*_space-orig_label-anomaly_mask.json"))
    failed = sum(1 for _ in out.glob("sub-*/log"))
    return {
        "scans": done + failed,
        "parent_mb": own["mb"],
        "parent_files": own["files"],
        "parent_threads": own["threads"],
        "processes": len(others) + 1,
        "workers_mb": sum(one["mb"] for one in others),
        "workers_files": sum(one["files"] for one in others),
        "workers_threads": sum(one["threads"] for one in others),
    }


def tree_mb(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=300)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--nprocs", default="1")
    options = parser.parse_args()
    folder = options.folder
    raw = make_dataset(folder, options.scans, options.every)
    out, work = folder / "out", folder / "work"
    command = [sys.executable, "-m", "uadbids", str(raw), str(out), "participant", "-w", str(work)]
    rows: list[dict[str, int]] = []
    started = time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--nprocs", options.nprocs], stderr=log, start_new_session=True
        )
        while process.poll() is None:
            time.sleep(SECONDS)
            row = measure(process.pid, out)
            if row and row["parent_mb"]:
                rows.append(row)
                (folder / "load.json").write_text(json.dumps(rows))
    seconds = time.monotonic() - started
    print(f"{options.scans} scans in {seconds:.0f} s, exit status {process.returncode}")
    print(f"processes left: {len(alive(process.pid))}, work directory: {tree_mb(work)} MB")
    # The first tenth loads libraries and fills caches.
    late = [row for row in rows if row["scans"] >= options.scans // 10]
    for key in rows[0]:
        values = [row[key] for row in late]
        slope = np.polyfit([row["scans"] for row in late], values, 1)[0] if len(late) > 2 else 0
        span = f"{values[0]:6} -> {values[-1]:6}  highest {max(values):6}"
        print(f"{key:16} {span}  {slope:+.3f} a scan")


if __name__ == "__main__":
    main()
