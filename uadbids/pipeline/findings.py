"""The findings of a scan, measured on its own grid and named on the template grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from uadbids.detection.postprocess import Component, describe_components
from uadbids.pipeline.records import Detected, Preprocessed
from uadbids.preproc.atlas import Atlas, Place
from uadbids.preproc.transform import read_transform

# Keeps 4 voxels of 2.4999999 mm3 at a minimum of 10 mm3.
_TOLERANCE = 1e-4
_MASKS = {"native_components": "native_lesions", "template_components": "template_lesions"}


def list_findings(
    scan: Preprocessed, found: Detected, files: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """Measure the findings, number them by volume, and leave out what is too small.

    The minimum size holds in the voxels of the scan: what shrinks below it on the way from the
    template grid is in no table, mask or label image.

    Parameters
    ----------
    scan, found
        The scan on the template grid, and what was found there.
    files : mapping of str to Path
        ``native_anomaly`` and ``native_components``, with the numbers of the template grid.
        ``native_components`` is written anew; ``native_lesions``, ``template_components`` and
        ``template_lesions`` are written.

    Returns
    -------
    list of dict
        One row for each finding, the largest first.
    """
    anomaly, native = (nib.load(files[f"native_{kind}"]) for kind in ("anomaly", "components"))
    template = nib.load(found.files["components"])
    labels = np.asarray(template.dataobj)
    dx, dy, dz = map(float, voxel_sizes(anomaly.affine))
    parts = describe_components(
        np.asarray(native.dataobj), np.asarray(anomaly.dataobj), (dx, dy, dz)
    )
    smallest = found.facts.values.get("MinVolumeMm3", 0.0) - _TOLERANCE
    kept = sorted(
        (part for part in parts if part.volume_mm3 >= smallest), key=lambda part: -part.volume_mm3
    )
    numbers = np.zeros(labels.max() + 1, dtype=np.int32)
    numbers[[part.index for part in kept]] = np.arange(1, len(kept) + 1)
    for key, image in (("native_components", native), ("template_components", template)):
        components = numbers[np.asarray(image.dataobj)]
        _write(components, image, files[key])
        _write((components > 0).astype(np.uint8), image, files[_MASKS[key]])
    points = _points(labels, scan)
    return [
        _row(number, part, anomaly.affine, points[part.index])
        for number, part in enumerate(kept, start=1)
    ]


def _write(data: np.ndarray, like: nib.Nifti1Image, path: Path) -> None:
    header = like.header.copy()
    header.set_data_dtype(data.dtype)
    nib.Nifti1Image(data, None, header).to_filename(path)


def _points(labels: np.ndarray, scan: Preprocessed) -> dict[int, np.ndarray]:
    """Voxels of each component in millimetres of the average brain (MNI152), shape (N, 3)."""
    # Template grid -> scan (rigid) -> average brain (affine, the other way).
    grid = nib.load(scan.volume).affine
    there = np.linalg.inv(read_transform(scan.affine)) @ read_transform(scan.xfm) @ grid
    return {
        index: apply_affine(there, np.argwhere(labels[box] == index) + [s.start for s in box])
        for index, box in enumerate(ndimage.find_objects(labels), start=1)
        if box is not None
    }


def _row(number: int, part: Component, affine: np.ndarray, points: np.ndarray) -> dict[str, Any]:
    """Put a component into the words of the table."""
    place: Place = Atlas.packaged().locate(points)
    scanner = apply_affine(affine, part.centroid_ijk)
    coordinates = {"mni_x_mm mni_y_mm mni_z_mm": points.mean(axis=0), "x_mm y_mm z_mm": scanner}
    return {
        "index": number,
        "name": f"finding-{number}",
        "volume_ml": round(part.volume_mm3 / 1000, 5),
        "hemisphere": place.hemisphere,
        "region": place.region,
        "zone": place.zone,
        "location": place.words,
        **{
            name: round(float(value), 1)
            for names, centre in coordinates.items()
            for name, value in zip(names.split(), centre, strict=True)
        },
        "score_max": round(part.score_max, 4),
        "score_mean": round(part.score_mean, 4),
    }
