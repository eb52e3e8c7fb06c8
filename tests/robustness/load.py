"""Examine many scans in one call, and watch memory, processes, open files, threads and disk.

    PYTHONPATH=tests python -m robustness.load FOLDER --scans 300 [--sources DIR] [--every N]

The scans are links under made-up subjects: to the FLAIR images of the BIDS dataset ``--sources``
in turn, or to one small scan (the example at half its resolution, without skull). With
``--every N`` all but each N-th are empty files, which are refused: so the command's own growth
shows without hours of work.
Prints the measurements and what each grows by, and keeps them in FOLDER/load.json.
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
from heads import Head, roughly_stripped
from robustness.kills import alive
from uadbids.bids.query import find_scans

EXAMPLE = Path(uadbids.__file__).parent / "data/example/sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz"
SECONDS = 5.0


def sources(folder: Path, dataset: Path | None) -> list[Path]:
    """Images to examine."""
    if dataset is not None:
        return [scan.path for scan in find_scans(dataset) if scan.skip_reason is None]
    roughly_stripped(small := folder / "small.nii.gz", Head.read(EXAMPLE))
    return [small]


def make_dataset(folder: Path, n_scans: int, every: int, dataset: Path | None) -> Path:
    raw = folder / "raw"
    raw.mkdir(parents=True)
    about = {"Name": "load", "BIDSVersion": "1.10.0"}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    images, empty = sources(folder, dataset), folder / "empty.nii.gz"
    empty.touch()
    for number in range(n_scans):
        image = empty if number % every else images[number // every % len(images)]
        ending = ".nii" if image.suffix == ".nii" else ".nii.gz"
        path = raw / f"sub-{number:05d}" / "anat" / f"sub-{number:05d}_FLAIR{ending}"
        path.parent.mkdir(parents=True)
        path.symlink_to(image.resolve())
        told = image.with_name(image.name.removesuffix(ending) + ".json")
        if told.is_file():
            path.with_name(path.name.removesuffix(ending) + ".json").symlink_to(told.resolve())
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


def count_examined(out: Path) -> int:
    return sum(1 for _ in out.glob("sub-*/anat/*_space-orig_label-anomaly_mask.json"))


def measure(parent: int, out: Path) -> dict[str, int] | None:
    """Measure the parent and, together, all processes that it has started."""
    try:
        own = status(parent)
        others = [status(pid) for pid in alive(parent) if pid != parent]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return {
        "examined": count_examined(out),
        "refused": sum(1 for _ in out.glob("sub-*/log")),
        "parent_mb": own["mb"],
        "parent_files": own["files"],
        "parent_threads": own["threads"],
        "processes": len(others) + 1,
        "workers_mb": sum(one["mb"] for one in others),
        "workers_files": sum(one["files"] for one in others),
        "workers_threads": sum(one["threads"] for one in others),
    }


def tree_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def growth(rows: list[dict[str, int]], kind: str, key: str) -> float | None:
    """Fit a line to the highest value within each scan; return its rise over 100 scans."""
    highest: dict[int, int] = {}
    for row in rows:
        highest[row[kind]] = max(highest.get(row[kind], 0), row[key])
    if len(highest) < 10:
        return None
    return 100 * float(np.polyfit(list(highest), list(highest.values()), 1)[0])


def report(rows: list[dict[str, int]], n_scans: int, kind: str) -> None:
    # The first tenth loads libraries and fills caches.
    late = [row for row in rows if row["examined"] + row["refused"] >= n_scans // 10]
    print(f"{'':16}  first   last highest  growth over 100 {kind} scans")
    for key in list(rows[0])[2:]:
        values = [row[key] for row in late]
        rise = growth(late, kind, key)
        told = "too few to tell" if rise is None else f"{rise:+.1f}"
        print(f"{key:16} {values[0]:6} {values[-1]:6} {max(values):7}  {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=300)
    parser.add_argument("--sources", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--nprocs", default="1")
    options = parser.parse_args()
    folder = options.folder
    raw = make_dataset(folder, options.scans, options.every, options.sources)
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
    n_examined = count_examined(out)
    seconds = time.monotonic() - started
    print(f"{options.scans} scans in {seconds:.0f} s, exit status {process.returncode}")
    # Helpers of multiprocessing end when they see that the command has ended.
    until = time.monotonic() + SECONDS
    while alive(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    print(f"processes left {SECONDS:.0f} s later: {len(alive(process.pid))}")
    print(f"examined: {n_examined}; for each, in MB: ", end="")
    sizes = (tree_mb(one) / max(n_examined, 1) for one in (work, out))
    print("work directory {:.1f}, outputs {:.1f}".format(*sizes))
    report(rows, options.scans, "examined" if options.every == 1 else "refused")


if __name__ == "__main__":
    main()
