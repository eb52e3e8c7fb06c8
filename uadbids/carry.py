"""Home again: what was found on the template grid, on the voxels of the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from uadbids.preproc.registration import to_scan, write_like_source


@dataclass(frozen=True)
class Home:
    """Images on the scan's grid, and what was counted on it.

    Attributes
    ----------
    files : mapping of str to Path
        ``native_anomaly``, ``native_score`` (where calibrated), ``native_components``,
        ``native_lesions``, ``native_brain``.
    components : list of dict
        One row for each component: index, volume, scores, centre of mass in scanner millimetres.
    summary : dict
        Volumes in ml, counts.
    """

    files: Mapping[str, Path]
    components: list[dict[str, Any]]
    summary: dict[str, Any]


def carry_home(
    maps: Mapping[str, Path],
    labels: Path,
    brain: Path,
    *,
    xfm: Path,
    conformed: Path,
    source: Path,
    folder: Path,
) -> Home:
    """Bring maps (linear) and components (nearest neighbour) to the grid of the scan.

    Parameters
    ----------
    maps : mapping
        ``anomaly``, and ``score`` where the model is calibrated: images on the template grid.
    labels : Path
        Components on the template grid; the numbers are kept.
    brain : Path
        Brain mask on the grid of the conformed scan.
    xfm, conformed, source : Path
        Rigid transform, conformed scan, scan as it was found.
    folder : Path
        Where to write.

    Returns
    -------
    Home
        Files and figures; volumes are counted in the scan's own voxels.
    """
    files = {f"native_{kind}": folder / f"{kind}.nii.gz" for kind in maps}
    for kind, path in maps.items():
        to_scan(path, xfm, conformed, source, files[f"native_{kind}"], "map")
    files["native_components"] = folder / "components.nii.gz"
    to_scan(labels, xfm, conformed, source, files["native_components"], "labels")
    image = nib.load(files["native_components"])
    found = np.asarray(image.dataobj)
    files["native_lesions"] = folder / "lesions.nii.gz"
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    lesions = (found > 0).astype(np.uint8)
    nib.Nifti1Image(lesions, None, header).to_filename(files["native_lesions"])
    files["native_brain"] = folder / "brain.nii.gz"
    mask = np.asarray(nib.load(brain).dataobj)
    write_like_source(mask, source, files["native_brain"])

    voxel_ml = float(np.prod(voxel_sizes(image.affine)) / 1000)
    scored = np.asarray(nib.load(files["native_anomaly"]).dataobj)
    rows = _rows(found, scored, image.affine, voxel_ml)
    summary = {
        "LesionVolumeMl": round(sum(row["volume_ml"] for row in rows), 4),
        "LesionCount": len(rows),
        "LargestLesionMl": max((row["volume_ml"] for row in rows), default=0.0),
    }
    return Home(files, rows, summary)


def _rows(
    labels: np.ndarray, scored: np.ndarray, affine: np.ndarray, voxel_ml: float
) -> list[dict[str, Any]]:
    """Describe each component; one that fell between the voxels of the scan has no row."""
    rows = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = labels[box] == index
        values = scored[box][inside]
        corner = np.array([axis.start for axis in box])
        centre = apply_affine(affine, corner + np.argwhere(inside).mean(axis=0))
        volume = float(inside.sum()) * voxel_ml
        x, y, z = (round(float(value), 1) for value in centre)
        rows.append(
            {
                "index": index,
                "name": f"anomaly-{index}",
                "volume_mm3": round(volume * 1000, 2),
                "volume_ml": round(volume, 5),
                "score_max": round(float(values.max()), 4),
                "score_mean": round(float(values.mean()), 4),
                "x_mm": x,
                "y_mm": y,
                "z_mm": z,
            }
        )
    return rows
