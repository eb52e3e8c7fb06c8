"""Recompute the label-free figures of an evaluation from the files alone.

``python benchmarks/recompute.py MAPS EVALUATION MASK...`` reads ``metrics.tsv`` of an evaluation on
the scans' own grids, the masks that ``participant`` wrote to MAPS, and lesion masks; it prints the
largest difference of each figure. nibabel, NumPy and SciPy; nothing of uadbids.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

AROUND = np.ones((3, 3, 3))


def voxels(path: Path) -> np.ndarray:
    """Read a mask."""
    return np.asarray(nib.load(path).dataobj) > 0


def touched(mask: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Count the 26-connected parts of a mask, and of those that share a voxel with the other."""
    labels, number = ndimage.label(mask, AROUND)
    return number, len(set(labels[other].tolist()) - {0})


def surface_distances(mask: np.ndarray, other: np.ndarray, zooms: Sequence[float]) -> np.ndarray:
    """Measure the distance in mm of each surface voxel of a mask to the surface of the other."""
    surface, target = (m & ~ndimage.binary_erosion(m) for m in (mask, other))
    return ndimage.distance_transform_edt(~target, zooms)[surface]


def recompute(
    found: np.ndarray, truth: np.ndarray, brain: np.ndarray, zooms: Sequence[float]
) -> dict[str, float]:
    """Return the figures of one scan, by their names in ``metrics.tsv``."""
    inside = brain | truth
    both, n_found, n_true = (int(x.sum()) for x in (found & truth, found, truth))
    ml = float(np.prod(zooms)) / 1000
    lesions, hit = touched(truth, found)
    findings, right = touched(found, truth)
    figures = {
        "dice": 2 * both / (n_found + n_true) if n_found + n_true else 1.0,
        "specificity": (inside & ~found & ~truth).sum() / (inside & ~truth).sum(),
        "specificity_image": (~found & ~truth).sum() / (~truth).sum(),
        "lesions": lesions,
        "lesions_found": hit,
        "findings": findings,
        "findings_right": right,
        "lesion_volume_ml": n_true * ml,
        "found_volume_ml": n_found * ml,
        "volume_error_ml": (n_found - n_true) * ml,
        "false_positive_ml": (found & ~truth).sum() * ml,
        "prevalence": n_true / inside.sum(),
    }
    if n_true:
        figures["sensitivity"] = both / n_true
    if n_true and n_found:
        there, back = (surface_distances(*m, zooms) for m in ((found, truth), (truth, found)))
        figures["hd95_mm"] = max(np.percentile(there, 95), np.percentile(back, 95))
    return {name: float(value) for name, value in figures.items()}


def differences(
    maps: Path, evaluation: Path, masks: Sequence[Path]
) -> Iterator[tuple[str, str, float, float]]:
    """Yield (scan, figure, ours, recomputed) of every label-free row of the model."""
    with (evaluation / "metrics.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    model = rows[0]["method"]
    for row in rows:
        if (row["method"], row["threshold_kind"]) != (model, "label-free"):
            continue
        scan, session = row["scan"], row["session_id"]
        folder = maps / row["participant_id"] / ("" if session == "n/a" else session) / "anat"
        image = nib.load(folder / f"{scan}_space-orig_label-anomaly_mask.nii.gz")
        (mask,) = (m for m in masks if m.name.startswith(f"{scan}_{row['reference']}"))
        again = recompute(
            voxels(folder / f"{scan}_space-orig_label-anomaly_mask.nii.gz"),
            voxels(mask),
            voxels(folder / f"{scan}_space-orig_label-brain_mask.nii.gz"),
            nib.affines.voxel_sizes(image.affine),
        )
        for name, value in again.items():
            yield scan, name, float(row[name]), value


def main() -> None:
    """Print the largest difference of each figure."""
    maps, evaluation, *masks = map(Path, sys.argv[1:])
    worst, scans = {}, set()
    for scan, name, ours, value in differences(maps, evaluation, masks):
        scans.add(scan)
        gap = 0.0 if math.isnan(ours) and math.isnan(value) else abs(ours - value)
        worst[name] = max(worst.get(name, 0.0), gap)
    print(
        f"{len(scans)} scans; largest differences:",
        ", ".join(f"{k} {v:.1e}" for k, v in worst.items()),
    )


if __name__ == "__main__":
    main()
