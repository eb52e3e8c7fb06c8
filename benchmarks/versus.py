"""CPU seconds of whole scans by two checkouts of uadbids, in turn, and their ratio.

``python benchmarks/versus.py BIDS_DIR OLD NEW [--label LABEL ...] [--shape X Y Z]`` where OLD and
NEW are folders that hold ``uadbids/``. Each scan is examined by both, one after the other, in
processes of their own; what the imports take is left out. Memory is the peak of the process.
``--shape`` resamples the scans to so many voxels first, within the same field of view.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

PARTS = ("preprocess", "detect", "derive")
_ONE = """
import json, resource, sys
from pathlib import Path
from uadbids.run.setup import prepare_environment
root, folder, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
prepare_environment(folder, random_seed=20210301, threads=1)
import ants, deepbet, torch
from uadbids.bids.query import find_scans
from uadbids.model.bundle import find_bundle, load_bundle
from uadbids.pipeline.derive import derive
from uadbids.pipeline.detect import detect
from uadbids.pipeline.preprocess import preprocess
from uadbids.pipeline.records import DeriveOptions, DetectOptions, PreprocessOptions
from uadbids.preproc.config import PreprocConfig
scan = next(scan for scan in find_scans(root) if scan.name == name)
bundle = find_bundle("dense3d")
def seconds():
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)
def part(name, body, *args, **kw):
    (folder / name).mkdir()
    began = seconds()
    out = body(*args, **kw)
    took[name] = seconds() - began
    return out
took = {}
stripped = scan.metadata.get("SkullStripped") is True
made = part("preprocess", preprocess, scan.path, folder / "preprocess",
            PreprocessOptions(PreprocConfig()), skull_stripped=stripped)
found = part("detect", detect, made, folder / "detect", DetectOptions(bundle))
part("derive", derive, scan, made, found, folder / "derive",
     DeriveOptions(folder / "out", bundle, ("orig", "template")))
took["memory"] = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps(took))
"""


def cost(checkout: Path, bids_dir: Path, name: str) -> dict[str, float]:
    """CPU seconds of each part of a scan, and peak memory in MB, by one checkout."""
    with TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _ONE, str(bids_dir), folder, name]
        done = subprocess.run(
            command, cwd=checkout, env=environment, check=True, capture_output=True, text=True
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def resampled(bids_dir: Path, shape: tuple[int, ...], folder: Path) -> Path:
    """Write a dataset of the same scans in other voxels; returns its folder."""
    from uadbids.bids.query import find_scans

    for scan in find_scans(bids_dir):
        image, grid = nib.load(scan.path), np.eye(4)
        step = np.divide(image.shape, shape)
        # The corner of the first voxel stays where it is.
        grid[:3] = np.column_stack([np.diag(step), step / 2 - 0.5])
        out = folder / scan.path.relative_to(bids_dir)
        out.parent.mkdir(parents=True, exist_ok=True)
        target = (shape, image.affine @ grid)
        resample_from_to(image, target, order=1, mode="nearest").to_filename(out)
        sidecar = json.dumps({"SkullStripped": scan.metadata.get("SkullStripped") is True})
        out.with_name(out.name.replace(".nii.gz", ".json")).write_text(sidecar)
    description = {"Name": "resampled", "BIDSVersion": "1.9.0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


def versus(bids_dir: Path, old: Path, new: Path, labels: list[str] | None = None) -> None:
    """Print a row for each scan: its parts by the old and the new one, and the ratio."""
    from uadbids.bids.query import find_scans

    print("| scan | " + " | ".join(f"{part}, s" for part in PARTS) + " | all, s | ratio | MB |")
    print("|---" * (len(PARTS) + 4) + "|")
    ratios = []
    for scan in find_scans(bids_dir, participant_label=labels):
        pair = [cost(checkout.resolve(), bids_dir.resolve(), scan.name) for checkout in (old, new)]
        totals = [sum(one[part] for part in PARTS) for one in pair]
        ratios.append(totals[1] / totals[0])
        cells = [" to ".join(f"{one[part]:.1f}" for one in pair) for part in PARTS]
        cells += [f"{totals[0]:.1f} to {totals[1]:.1f}", f"{ratios[-1]:.2f}"]
        cells += [" to ".join(f"{one['memory']:.0f}" for one in pair)]
        print(f"| {scan.name} | " + " | ".join(cells) + " |", flush=True)
    print(f"\nMedian ratio of {len(ratios)} scans: {statistics.median(ratios):.2f}")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bids_dir", "old", "new"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--label", nargs="+")
    parser.add_argument("--shape", nargs=3, type=int)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        bids_dir = args.bids_dir.resolve()
        if args.shape:
            bids_dir = resampled(bids_dir, tuple(args.shape), Path(folder))
        versus(bids_dir, args.old, args.new, args.label)


if __name__ == "__main__":
    main()
