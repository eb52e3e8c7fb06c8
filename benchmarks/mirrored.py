"""Which brain masks deepbet's coarse mask calls doubtful, and which of them the mirrored scan cuts.

``python benchmarks/mirrored.py BIDS_DIR ...`` looks at each scan as it is and, since deepbet knows
no sides, at its mirror image as if that were another scan. ``packaged`` tells whether the mask of
the scan as it is has the very voxels of both passes together.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import torch

from uadbids.bids.query import find_scans
from uadbids.preproc.conform import conform
from uadbids.preproc.deepbet import (
    DOUBTFUL_ML,
    BrainExtraction,
    mirror_consistent,
    run_deepbet,
    thick_part,
)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bids_dirs", type=Path, nargs="+")
    torch.set_num_threads(1)
    bet = BrainExtraction(no_gpu=True)
    print("| scan | seen | coarse mask lacks, ml | mirrored takes away, ml | packaged |")
    print("|---|---|---|---|---|")
    missed, looks, second, cut = [], 0, 0, 0
    with TemporaryDirectory() as folder:
        conformed = Path(folder) / "conformed.nii.gz"
        for bids_dir in parser.parse_args().bids_dirs:
            for scan in find_scans(bids_dir):
                if scan.metadata.get("SkullStripped") is True:
                    continue
                conform(scan.path, conformed)
                image = nib.load(conformed)
                turned = nib.Nifti1Image(
                    np.asarray(image.dataobj)[::-1], image.affine, image.header
                )
                spacing = image.header.get_zooms()[:3]
                voxel_ml = math.prod(spacing) / 1000
                here, there = bet.masks(image), bet.masks(turned)
                both = mirror_consistent(here[0], there[0][::-1], spacing)
                same = np.array_equal(run_deepbet(image, scan.path, "cpu"), both)
                for seen, (mask, coarse), (other, _) in (
                    ("as it is", here, there),
                    ("mirrored", there, here),
                ):
                    lacks = thick_part(mask & ~coarse, spacing).sum() * voxel_ml
                    taken = thick_part(mask & ~other[::-1], spacing).sum() * voxel_ml
                    doubtful = lacks >= DOUBTFUL_ML
                    looks, second, cut = looks + 1, second + doubtful, cut + (taken > 0)
                    missed += [taken] * bool(taken > 0 and not doubtful)
                    equal = ("yes" if same else "NO") if seen == "as it is" else ""
                    name = f"{bids_dir.name} {scan.name}"
                    print(f"| {name} | {seen} | {lacks:.1f} | {taken:.1f} | {equal} |", flush=True)
    print(
        f"\n{looks} looks: {second} doubtful, {cut} that the mirrored scan cuts, of these "
        f"{len(missed)} not doubtful (ml: {', '.join(f'{ml:.1f}' for ml in missed)})"
    )


if __name__ == "__main__":
    main()
