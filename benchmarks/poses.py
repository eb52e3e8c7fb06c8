"""How far two checkouts of uadbids place the same brain apart, and each of them from itself.

``python benchmarks/poses.py OLD NEW BIDS_DIR ... [--every N]`` where OLD and NEW are folders that
hold ``uadbids/``. Both align the same image and brain mask, as they are and with a header that
differs by millionths of a millimetre. Distances are means over the template's brain, in mm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

SHIFT = (4e-6, -6e-6, 3e-6)
_MAKE = """
import sys
from pathlib import Path
from uadbids.run.setup import prepare_environment
folder = Path(sys.argv[2])
prepare_environment(folder, random_seed=20210301, threads=1)
from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.brain_mask import extract_brain
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import conform
conform(Path(sys.argv[1]), folder / "c.nii")
extract_brain(folder / "c.nii", folder / "brain.nii", method=sys.argv[3])
correct_bias(folder / "c.nii", folder / "brain.nii", folder / "head.nii", PreprocConfig())
"""
_ALIGN = """
import json, sys
from pathlib import Path
from uadbids.run.setup import prepare_environment
folder = Path(sys.argv[1])
prepare_environment(folder, random_seed=20210301, threads=1)
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.registration import register
from uadbids.preproc.template import Template
from uadbids.preproc.transform import read_transform
found = []
for name in ("", "moved_"):
    files = [folder / f"{name}{part}.nii" for part in ("head", "brain")]
    register(*files, folder / "x.txt", folder / "a.txt", Template.packaged(), PreprocConfig())
    found.append(read_transform(folder / "x.txt").tolist())
print(json.dumps(found))
"""


def _run(checkout: Path, code: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, cwd=checkout, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()[-1] if done.stdout else ""


def poses(checkout: Path, folder: str) -> list[np.ndarray]:
    """Return the transforms of the image as it is and with the other header."""
    return [np.asarray(pose) for pose in json.loads(_run(checkout, _ALIGN, folder))]


def main(old: Path, new: Path, scans: list[tuple[Path, bool]]) -> None:
    """Print a row for each scan, and the shares below 1 mm."""
    from uadbids.preproc.template import Template

    brain = nib.load(Template.packaged().brain_mask)
    points = apply_affine(brain.affine, np.argwhere(np.asarray(brain.dataobj) > 0)[::503])
    move = np.eye(4)
    move[:3, 3] = SHIFT

    def apart(first: np.ndarray, second: np.ndarray) -> float:
        gap = apply_affine(first, points) - apply_affine(second, points)
        return float(np.linalg.norm(gap, axis=1).mean())

    print("| scan | old to new | old to old, other header | new to new, other header |")
    print("|---|---|---|---|")
    rows = []
    for scan, stripped in scans:
        with TemporaryDirectory() as folder:
            _run(new, _MAKE, str(scan), folder, "none" if stripped else "deepbet")
            for name in ("head.nii", "brain.nii"):
                image = nib.load(Path(folder) / name)
                moved = nib.Nifti1Image(np.asarray(image.dataobj), move @ image.affine)
                moved.to_filename(Path(folder) / f"moved_{name}")
            found = [poses(checkout, folder) for checkout in (old, new)]
        itself = [apart(pose, np.linalg.inv(move) @ other) for pose, other in found]
        rows.append([apart(found[0][0], found[1][0]), *itself])
        print(f"| {scan.name} | " + " | ".join(f"{mm:.2f}" for mm in rows[-1]) + " |", flush=True)
    shares = [f"{100 * share:.0f} %" for share in (np.array(rows) < 1).mean(axis=0)]
    print("| under 1 mm | " + " | ".join(shares) + " |")


if __name__ == "__main__":
    from uadbids.bids.query import find_scans

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for argument in ("old", "new"):
        parser.add_argument(argument, type=Path)
    parser.add_argument("bids_dirs", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    found = [scan for bids_dir in args.bids_dirs for scan in find_scans(bids_dir)]
    wanted = [(scan.path, scan.metadata.get("SkullStripped") is True) for scan in found]
    main(args.old.resolve(), args.new.resolve(), wanted[:: args.every])
