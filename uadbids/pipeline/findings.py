"""The findings of a scan: measured on its own grid, named and judged on the template grid."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from uadbids.bids.labels import TAG_COLOURS
from uadbids.detection.erosion import near_outside
from uadbids.detection.postprocess import Component, describe_components
from uadbids.detection.tags import BOUNDARY, BOUNDARY_MM, Evidence, tag
from uadbids.pipeline.records import Detected, Preprocessed
from uadbids.preproc.atlas import Atlas
from uadbids.preproc.template import Template
from uadbids.preproc.transform import read_transform
from uadbids.qc.slices import odd_slices

# Keeps 4 voxels of 2.4999999 mm3 at a minimum of 10 mm3.
_TOLERANCE = 1e-4
# A twin may lie this many voxels beside the mirrored place.
_TWIN_REACH = 2
# Users may ask for a threshold of 0.
_LEAST_THRESHOLD = 1e-6
# Of the threshold: what is nearly a finding on the other side.
_AS_HIGH = 0.8
_MASKS = {"native_components": "native_lesions", "template_components": "template_lesions"}


def list_findings(
    scan: Preprocessed, found: Detected, files: Mapping[str, Path], *, keep_artefacts: bool = True
) -> list[dict[str, Any]]:
    """Measure the findings, number them by volume, tag them, and leave out what is too small.

    The minimum size holds in the voxels of the scan: what shrinks below it on the way from the
    template grid is in no table, mask or label image.

    Of the files, ``native_anomaly``, ``native_brain`` and ``native_components`` are there, the last
    with the numbers of the template grid; it is written anew, and ``native_lesions``,
    ``template_components`` and ``template_lesions`` are written. With `keep_artefacts`, images hold
    what is tagged as a likely artefact, too; the rows, the largest finding first, always do.
    """
    anomaly, native = (nib.load(files[f"native_{kind}"]) for kind in ("anomaly", "components"))
    components = np.asarray(native.dataobj)
    dx, dy, dz = map(float, voxel_sizes(anomaly.affine))
    parts = describe_components(components, np.asarray(anomaly.dataobj), (dx, dy, dz))
    smallest = found.facts.values.get("MinVolumeMm3", 0.0) - _TOLERANCE
    parts = sorted(
        (part for part in parts if part.volume_mm3 >= smallest), key=lambda part: -part.volume_mm3
    )
    judge = Judge(scan, found)
    odd = odd_slices(scan.source, files["native_brain"])
    rows = [
        _row(number, part, anomaly.affine, judge.points(part), judge.look(part, components, odd))
        for number, part in enumerate(parts, start=1)
    ]
    numbers = np.zeros(judge.labels.max() + 1, dtype=np.int32)
    for part, row in zip(parts, rows, strict=True):
        if keep_artefacts or row["tag"] != "likely-artefact":
            numbers[part.index] = row["index"]
    for key, image in (("native_components", native), ("template_components", judge.image)):
        kept = numbers[np.asarray(image.dataobj)]
        _write(kept, image, files[key])
        _write((kept > 0).astype(np.uint8), image, files[_MASKS[key]])
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the findings of a scan: totals with and without likely artefacts."""
    total = sum(row["volume_ml"] for row in rows)
    symmetric = sum(row["volume_ml"] * row["symmetric_grey_fraction"] for row in rows)
    trusted = [row for row in rows if row["tag"] != "likely-artefact"]
    return {
        "FindingVolumeMl": round(total, 4),
        "VolumeWithoutArtefactsMl": round(sum(row["volume_ml"] for row in trusted), 4),
        "FindingCount": len(rows),
        "LikelyFindingCount": sum(row["tag"] == "likely" for row in rows),
        "ArtefactCount": len(rows) - len(trusted),
        "SymmetricGreyFraction": round(symmetric / total, 3) if total else 0.0,
        "LargestFindingMl": max((row["volume_ml"] for row in rows), default=0.0),
    }


def to_average_brain(scan: Preprocessed) -> np.ndarray:
    """Matrix from voxels of the template grid to millimetres of MNI152, shape (4, 4)."""
    # Template grid -> scan (rigid) -> average brain (affine, the other way).
    there = np.linalg.inv(read_transform(scan.affine)) @ read_transform(scan.xfm)
    return there @ Template.packaged().affine


def _write(data: np.ndarray, like: nib.Nifti1Image, path: Path) -> None:
    header = like.header.copy()
    header.set_data_dtype(data.dtype)
    nib.Nifti1Image(data, None, header).to_filename(path)


class Judge:
    """Looks at the findings of a scan on the template grid."""

    def __init__(self, scan: Preprocessed, found: Detected) -> None:
        self.image = nib.load(found.files["components"])
        self.labels = np.asarray(self.image.dataobj)
        self._boxes = ndimage.find_objects(self.labels)
        self._map = np.asarray(nib.load(found.files["anomaly"]).dataobj)
        self._threshold = found.facts.values.get("Threshold", 1.0)
        self._there = to_average_brain(scan)
        self._brain = np.asarray(nib.load(scan.mask).dataobj) > 0

    def look(self, part: Component, components: np.ndarray, odd: np.ndarray) -> Evidence:
        """Collect what speaks for and against a finding, `part` on the grid of the scan.

        On that grid are `components`, all findings, and `odd`, slices of another brightness.
        """
        voxels = self._voxels(part)
        here = tuple(voxels.T)
        values, points, atlas = self._map[here], self.points(part), Atlas.packaged()
        opposite = self._mirrored(points)
        symmetric = atlas.is_grey(points) & (opposite >= _AS_HIGH * self._threshold)
        return Evidence(
            volume_ml=part.volume_mm3 / 1000,
            height=float(np.quantile(values, 0.9)) / max(self._threshold, _LEAST_THRESHOLD),
            boundary_share=float(near_outside(self._brain, voxels, BOUNDARY_MM).mean()),
            place=atlas.locate(points),
            symmetric_grey=float(symmetric.mean()),
            twin=float(opposite.mean() / max(float(values.mean()), 1e-6)),
            normal_z=float(self._normal[here].mean()),
            elongation=_elongation(voxels),
            slice_share=float(odd[components == part.index].mean()) if odd.any() else 0.0,
        )

    def points(self, part: Component) -> np.ndarray:
        """Voxels of a finding in millimetres of MNI152, shape (N, 3)."""
        return apply_affine(self._there, self._voxels(part))

    def _voxels(self, part: Component) -> np.ndarray:
        box = self._boxes[part.index - 1]
        return np.argwhere(self.labels[box] == part.index) + [side.start for side in box]

    @cached_property
    def _normal(self) -> np.ndarray:
        return Template.packaged().normal_brightness()

    @cached_property
    def _tops(self) -> np.ndarray:
        """Highest value of the map around each voxel."""
        return np.asarray(ndimage.maximum_filter(self._map, size=2 * _TWIN_REACH + 1))

    def _mirrored(self, points: np.ndarray) -> np.ndarray:
        """Tops of the map at the mirrored places."""
        there = apply_affine(np.linalg.inv(self._there), points * (-1, 1, 1))
        voxels = np.clip(np.rint(there).astype(int), 0, np.array(self._map.shape) - 1)
        return self._tops[tuple(voxels.T)]


def _elongation(voxels: np.ndarray) -> float:
    """Length over width, by the two largest variances; at least one voxel wide."""
    if len(voxels) < 2:
        return 1.0
    variances = np.linalg.eigvalsh(np.cov(voxels.T)) + 1 / 12
    return float(np.sqrt(variances[2] / variances[1]))


def _row(
    number: int, part: Component, affine: np.ndarray, points: np.ndarray, seen: Evidence
) -> dict[str, Any]:
    """Put a component into the words of the table."""
    place, tagged, centre = seen.place, tag(seen), points.mean(axis=0)
    if tagged.reason == BOUNDARY:
        # It may be bone: no region is claimed for it.
        near = f", near the {place.words.removesuffix(f', {place.zone}')}" if place.region else ""
        place = place._replace(region="", zone="", words=f"boundary of the brain mask{near}")
    scanner = apply_affine(affine, part.centroid_ijk)
    coordinates = {"mni_x_mm mni_y_mm mni_z_mm": centre, "x_mm y_mm z_mm": scanner}
    return {
        "index": number,
        "name": f"finding-{number}",
        "tag": tagged.name,
        "color": TAG_COLOURS[tagged.name],
        "reason": tagged.reason,
        "volume_ml": round(part.volume_mm3 / 1000, 5),
        "hemisphere": place.hemisphere,
        "region": place.region,
        "zone": place.zone,
        "location": place.words,
        **{
            name: round(float(value), 1)
            for names, at in coordinates.items()
            for name, value in zip(names.split(), at, strict=True)
        },
        "symmetric_grey_fraction": round(seen.symmetric_grey, 3),
        "score_max": round(part.score_max, 4),
        "score_mean": round(part.score_mean, 4),
    }
