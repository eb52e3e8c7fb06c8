"""Findings of several sessions on one grid that belong together, measured alike in all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import expand_labels

from uadbids.detection.postprocess import (
    SMALL_ML,
    Bools,
    Boundary,
    Floats,
    label_components,
    segment,
)

Labels = npt.NDArray[np.int32]

LOW = 0.5
"""Of the threshold: what is above it where another session has a finding is no absence."""
PRESENT_SHARE = 0.3
"""Of the voxels of a finding: so many above the lower threshold show it in another session."""
_REACH_MM = 2
_SPACING = (1.0, 1.0, 1.0)
_TOP = 0.9


@dataclass(frozen=True)
class Families:
    """Findings that overlap across sessions, split and merged ones together.

    All arrays but the labels have the shape (families, sessions).
    """

    # One image (X, Y, Z) a session: the number of the family, 1 for the largest, where present.
    labels: tuple[Labels, ...]
    parts: npt.NDArray[np.int_]  # how many findings each session has in each family
    present: Bools  # whether there is a finding, or what is nearly one
    volume_mm3: npt.NDArray[np.float64]  # extent; 0 where a family is not present
    examined_share: npt.NDArray[np.float64]  # of the family's voxels

    def __len__(self) -> int:
        return len(self.parts)


def find_families(
    maps: Sequence[Floats],
    examined: Sequence[Bools],
    *,
    threshold: float,
    min_volume_mm3: float,
    boundary: Boundary,
) -> Families:
    """Find what each session shows by itself, join what overlaps, and measure it in all sessions.

    Each session is cut at the same threshold. In each, a family then ends at half of its height
    there, also where that is below the threshold, within 2 mm of its findings: a lesion that is
    brighter in one session is not larger for that. It is present where `PRESENT_SHARE` of its
    largest finding is above `LOW` thresholds, so that what is just above the threshold in one
    session and just below in another has not come or gone.

    The anomaly maps, (X, Y, Z), are on one 1 mm grid and on one scale; threshold, smallest volume
    and boundary are those of `postprocess.segment`. The largest family comes first.
    """
    findings = [
        label_components(
            segment(
                one, inside, threshold=threshold, min_volume_mm3=min_volume_mm3,
                spacing=_SPACING, boundary=boundary,
            )
        )
        for one, inside in zip(maps, examined, strict=True)
    ]  # fmt: skip
    numbers = _join(findings)
    cores = np.zeros(maps[0].shape, dtype=np.int32)
    for labels, number in zip(findings, numbers, strict=True):
        cores = np.maximum(cores, number[labels])
    regions: Labels = expand_labels(cores, distance=_REACH_MM).astype(np.int32)
    count = max(int(number.max()) for number in numbers)
    measured = [
        _measure(number, box, regions, findings, numbers, maps, examined, threshold, boundary)
        for number, box in enumerate(ndimage.find_objects(regions, max_label=count), start=1)
        if box is not None
    ]
    measured.sort(key=lambda one: -max(one.volumes))
    return _collect(measured, maps)


@dataclass(frozen=True)
class _Family:
    box: tuple[slice, ...]
    extents: tuple[Bools, ...]
    parts: tuple[int, ...]
    present: tuple[bool, ...]
    volumes: tuple[float, ...]
    examined: tuple[float, ...]


def _join(findings: Sequence[Labels]) -> list[npt.NDArray[np.int32]]:
    """Give each finding of each session its family: a component of the graph of overlaps."""
    counts = [int(labels.max()) for labels in findings]
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows, columns = [], []
    for i, first in enumerate(findings):
        for j, second in enumerate(findings[:i]):
            both = (first > 0) & (second > 0)
            pairs = np.unique(np.stack([first[both], second[both]]), axis=1)
            rows.append(starts[i] + pairs[0] - 1)
            columns.append(starts[j] + pairs[1] - 1)
    total = int(starts[-1])
    where = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_array((np.ones(len(where[0])), where), shape=(total, total))
    _, family = connected_components(graph, directed=False) if total else (0, np.zeros(0, int))
    return [
        np.concatenate([[0], family[start:end] + 1]).astype(np.int32)
        for start, end in pairwise(starts)
    ]


def _measure(
    number: int,
    box: tuple[slice, ...],
    regions: Labels,
    findings: Sequence[Labels],
    numbers: Sequence[npt.NDArray[np.int32]],
    maps: Sequence[Floats],
    examined: Sequence[Bools],
    threshold: float,
    boundary: Boundary,
) -> _Family:
    """Measure one family in every session."""
    region = regions[box] == number
    here = [of[labels[box]] == number for labels, of in zip(findings, numbers, strict=True)]
    largest = max(here, key=np.count_nonzero)
    present, extents, seen = [], [], []
    for one, inside, finding in zip(maps, examined, here, strict=True):
        values = one[box]
        nearly = float(np.mean(values[largest] > LOW * threshold)) >= PRESENT_SHARE
        present.append(bool(finding.any()) or nearly)
        core = finding if finding.any() else largest
        level, is_large = threshold, np.count_nonzero(core) / 1000 >= SMALL_ML
        if boundary.part and not is_large:
            level = max(boundary.part * float(np.quantile(values[core], _TOP)), LOW * threshold)
        extent = region & inside[box] & (values > level)
        if boundary.fills and is_large:
            extent |= finding
        extents.append(extent & present[-1])
        seen.append(float(inside[box][largest].mean()))
    parts = (
        np.unique(labels[box][finding]).size for labels, finding in zip(findings, here, strict=True)
    )
    volumes = tuple(float(extent.sum()) for extent in extents)
    return _Family(box, tuple(extents), tuple(parts), tuple(present), volumes, tuple(seen))


def _collect(families: Sequence[_Family], maps: Sequence[Floats]) -> Families:
    images = tuple(np.zeros(maps[0].shape, dtype=np.int32) for _ in maps)
    for number, family in enumerate(families, start=1):
        for image, extent in zip(images, family.extents, strict=True):
            image[family.box][extent] = number
    shape = (len(families), len(maps))
    return Families(
        images,
        np.array([one.parts for one in families], dtype=int).reshape(shape),
        np.array([one.present for one in families], dtype=bool).reshape(shape),
        np.array([one.volumes for one in families], dtype=float).reshape(shape),
        np.array([one.examined for one in families], dtype=float).reshape(shape),
    )
