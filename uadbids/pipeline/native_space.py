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

from uadbids.detection.postprocess import Component, describe_components
from uadbids.preproc.atlas import Atlas, Place
from uadbids.preproc.resample import to_scan, write_like_source
from uadbids.preproc.transform import read_transform


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
    affine: Path,
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
    xfm, affine : Path
        Rigid transform, and the affine one that it comes from: a brain of another size than the
        template's is better named by the latter.
    conformed, source : Path
        Conformed scan, scan as it was found.
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

    scored = np.asarray(nib.load(files["native_anomaly"]).dataobj)
    dx, dy, dz = map(float, voxel_sizes(image.affine))
    parts = describe_components(found, scored, (dx, dy, dz))
    places = _places(labels, xfm, affine)
    rows = [_row(part, image.affine, places[part.index]) for part in parts]
    summary = {
        "LesionVolumeMl": round(sum(row["volume_ml"] for row in rows), 4),
        "LesionCount": len(rows),
        "LargestLesionMl": max((row["volume_ml"] for row in rows), default=0.0),
    }
    return Home(files, rows, summary)


def _places(labels: Path, xfm: Path, affine: Path) -> dict[int, Place]:
    """Name the place of each component of the template grid."""
    image = nib.load(labels)
    data = np.asarray(image.dataobj)
    atlas = Atlas.packaged()
    # Template grid -> scan (rigid) -> average brain (affine, the other way).
    there = np.linalg.inv(read_transform(affine)) @ read_transform(xfm) @ image.affine
    places = {}
    for index, box in enumerate(ndimage.find_objects(data), start=1):
        if box is not None:
            start = [side.start for side in box]
            voxels = np.argwhere(data[box] == index) + start
            places[index] = atlas.locate(apply_affine(there, voxels))
    return places


def _row(part: Component, affine: np.ndarray, place: Place) -> dict[str, Any]:
    """Put a component into the words of the table."""
    x, y, z = (round(float(value), 1) for value in apply_affine(affine, part.centroid_ijk))
    return {
        "index": part.index,
        "name": f"anomaly-{part.index}",
        "volume_mm3": round(part.volume_mm3, 2),
        "volume_ml": round(part.volume_mm3 / 1000, 5),
        "score_max": round(part.score_max, 4),
        "score_mean": round(part.score_mean, 4),
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        "hemisphere": place.hemisphere,
        "region": place.region,
        "location": place.words,
    }
