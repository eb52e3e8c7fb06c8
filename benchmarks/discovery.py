"""Time `find_scans` beside pybids as it comes, on a made-up dataset of empty files.

Run: python benchmarks/discovery.py [--subjects 2000] [--peer-subjects 2000]
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from bids import BIDSLayout

from uadbids.bids.query import find_scans

FILES = (
    "anat/{s}_T1w",
    "anat/{s}_FLAIR",
    "func/{s}_task-rest_run-1_bold",
    "func/{s}_task-rest_run-2_bold",
    "dwi/{s}_dwi",
)


def make_dataset(root: Path, subjects: int) -> Path:
    """Write a dataset of `subjects` participants: five empty images each, with sidecars."""
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "bench", "BIDSVersion": "1.10.0"}')
    for index in range(subjects):
        subject = f"sub-{index:05d}"
        for pattern in FILES:
            path = root / subject / pattern.format(s=subject)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(path.name + ".nii.gz").touch()
            path.with_name(path.name + ".json").write_text('{"EchoTime": 0.1, "FlipAngle": 90}')
    return root


def ours(root: Path) -> int:
    """Return the number of FLAIRs that uadbids finds, metadata read."""
    return len(find_scans(root))


def peer(root: Path) -> int:
    """Return the number of FLAIRs that pybids finds with its defaults, metadata read."""
    layout = BIDSLayout(root)
    images = layout.get(suffix="FLAIR", extension=[".nii", ".nii.gz"])
    return len([image.get_metadata() for image in images])


def seconds_per_subject(find: Callable[[Path], int], root: Path, subjects: int) -> float:
    """Time one call and check that it found every subject."""
    start = time.perf_counter()
    found = find(root)
    seconds = time.perf_counter() - start
    if found != subjects:
        raise SystemExit(f"{find.__name__} found {found} scans of {subjects}")
    sys.stdout.write(f"{find.__name__:5s} {subjects:6d} subjects {seconds:8.2f} s\n")
    return seconds / subjects


def main() -> None:
    """Parse the command line, run both, write seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--peer-subjects", type=int, default=2000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        root = make_dataset(Path(folder) / "ours", args.subjects)
        same = args.peer_subjects == args.subjects
        peer_root = root if same else make_dataset(Path(folder) / "peer", args.peer_subjects)
        mine = seconds_per_subject(ours, root, args.subjects)
        theirs = seconds_per_subject(peer, peer_root, args.peer_subjects)
    sys.stdout.write(f"ratio per subject (peer / ours): {theirs / mine:.1f}\n")


if __name__ == "__main__":
    main()
