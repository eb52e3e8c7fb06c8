"""What was found, on the voxels of the scan: measured, drawn, written into the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from uadbids.bids.derivatives import SOURCE_HASH, write_scan
from uadbids.bids.files import file_sha256
from uadbids.bids.scan import Scan
from uadbids.detection.postprocess import Component, describe_components
from uadbids.errors import ScanError
from uadbids.pipeline.records import DeriveOptions, Detected, Native, Preprocessed
from uadbids.preproc.atlas import Atlas, Place
from uadbids.preproc.resample import to_scan, write_like_source
from uadbids.preproc.transform import read_transform
from uadbids.qc.facts import Facts, brain_mask_doubts, timed
from uadbids.reports.scan_figures import draw_figures


def derive(
    raw: Scan, scan: Preprocessed, found: Detected, folder: Path, options: DeriveOptions
) -> list[Path]:
    """Put the outputs of one scan into the dataset, all or none; return the files written.

    `raw` names the outputs; `folder` exists, for files on the way. ScanError when the scan's file
    is not what it was when it was read.
    """
    native = to_native_space(scan, found, folder)
    with timed("figures") as seconds:
        figures = draw_figures(
            scan.source, scan.volume, scan.mask, found.files, native.files,
            facts=found.facts.values, bundle=options.bundle, folder=folder,
        )  # fmt: skip
    facts = options.facts + scan.facts + found.facts + native.facts + Facts(seconds=seconds)
    facts = judged(facts, options.trained_with)
    _check_unchanged(raw.path, facts.values[SOURCE_HASH])
    files = output_files(scan, found, native)
    if "template" not in options.spaces:
        files = {key: path for key, path in files.items() if not key.startswith("template_")}
    shown, summary = facts.for_sidecars()
    return write_scan(
        options.output_dir,
        raw,
        files,
        facts=shown,
        summary=summary,
        components=native.findings,
        figures=figures,
    )


def output_files(scan: Preprocessed, found: Detected, native: Native) -> dict[str, Path]:
    """Name the files of a scan as `names.DERIVATIVES` does."""
    return {
        **native.files,
        "xfm": scan.xfm,
        **{f"template_{kind}": path for kind, path in found.files.items()},
        "template_preproc": scan.volume,
        "template_brain": scan.mask,
    }


def judged(facts: Facts, trained_with: Sequence[str]) -> Facts:
    """Add what a person should look at; the model was trained with some methods of brain masks."""
    facts = facts.judged()
    return facts + brain_mask_doubts(facts.values, trained_with)


def to_native_space(scan: Preprocessed, found: Detected, folder: Path) -> Native:
    """Resample maps (linear) and components (nearest neighbour) to the grid of the scan.

    The numbers of components are kept, and volumes are counted in the scan's own voxels. Results
    go to `folder`, which exists.
    """
    kinds = [kind for kind in ("anomaly", "score", "components") if kind in found.files]
    files = {kind: folder / f"native_{kind}.nii.gz" for kind in (*kinds, "lesions", "brain")}
    with timed("native_space") as seconds:
        for kind in kinds:
            to_scan(
                found.files[kind],
                scan.xfm,
                scan.conformed,
                scan.source,
                files[kind],
                "labels" if kind == "components" else "map",
            )
        image = nib.load(files["components"])
        components = np.asarray(image.dataobj)
        header = image.header.copy()
        header.set_data_dtype(np.uint8)
        lesions = nib.Nifti1Image((components > 0).astype(np.uint8), None, header)
        lesions.to_filename(files["lesions"])
        write_like_source(np.asarray(nib.load(scan.brain).dataobj), scan.source, files["brain"])
        findings = _measure(components, files["anomaly"], scan, found.files["components"])
    values = {
        "FindingVolumeMl": round(sum(row["volume_ml"] for row in findings), 4),
        "FindingCount": len(findings),
        "LargestFindingMl": max((row["volume_ml"] for row in findings), default=0.0),
    }
    named = {f"native_{kind}": path for kind, path in files.items()}
    return Native(named, findings, Facts(values, seconds=seconds))


def _measure(
    components: np.ndarray, anomaly: Path, scan: Preprocessed, labels: Path
) -> list[dict[str, Any]]:
    """Measure each component on the scan's grid; its place is named on the template grid."""
    image = nib.load(anomaly)
    dx, dy, dz = map(float, voxel_sizes(image.affine))
    parts = describe_components(components, np.asarray(image.dataobj), (dx, dy, dz))
    places = _places(labels, scan.xfm, scan.affine)
    return [_row(part, image.affine, places[part.index]) for part in parts]


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


def _check_unchanged(path: Path, sha256: str | None) -> None:
    """Refuse to write results of one image with the header of another."""
    if not path.is_file():
        raise ScanError(f"{path}: the file vanished while it was examined; nothing was written")
    if file_sha256(path) != sha256:
        raise ScanError(
            f"{path}: the file changed while it was examined; nothing was written. Run again"
        )
