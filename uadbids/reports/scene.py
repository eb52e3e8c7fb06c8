"""What all figures of one scan share: its voxels and findings, read once, and the slices shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from uadbids.reports.panels import Canvas, Painter, Plane, grey, window
from uadbids.reports.slices import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    BoolArray,
    Box,
    Image,
    Volume,
    bounding_box,
    choose_slices,
    head_mask,
    load_like,
    load_volume,
    planes_through,
    spread,
)

COUNT = 8
"""Axial slices, the same in all figures of a scan."""
MIN_GAP_MM = 6


class Placed(NamedTuple):
    """An image on another grid than the scan's."""

    volume: Volume
    # From voxels of the scan (axes closest to RAS) to those of the image, (4, 4).
    to_voxel: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan with its findings."""

    scan: Volume  # axes closest to RAS
    labels: NDArray[np.integer]  # numbers of the findings on its grid; 0 is background
    brain: BoolArray  # brain mask, or a rough one of the head where there is none
    rows: Sequence[Mapping[str, Any]]  # of the table of findings, the largest first
    extent: slice  # axial slices that are worth showing: those that were examined

    @classmethod
    def read(
        cls,
        flair: Image,
        components: Image,
        *,
        brain_mask: Image | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
        extent: slice | None = None,
    ) -> Self:
        """Read images on the grid of the scan; ScanError if one cannot be, or lies on another."""
        scan = load_volume(flair)
        labels = load_like(components, scan).data.astype(np.int32)
        brain = load_like(brain_mask, scan).data > 0 if brain_mask else head_mask(scan)
        if extent is None:
            extent = bounding_box(brain, scan.spacing, margin_mm=0)[AXIAL]
        return cls(scan, labels, brain, rows, extent)

    @cached_property
    def head(self) -> Canvas:
        """The whole head."""
        # The head frames the pictures, not the mask: a mask that misses half the brain shows it.
        box = bounding_box(head_mask(self.scan) | self.brain, self.scan.spacing, margin_mm=3)
        return Canvas(self.scan, box)

    @cached_property
    def close(self) -> Canvas:
        """The brain."""
        around = self.brain | (self.labels > 0)
        return Canvas(self.scan, bounding_box(around, self.scan.spacing, margin_mm=8))

    @cached_property
    def greys(self) -> tuple[float, float]:
        """Intensities that are black and white."""
        return window(self.scan.data, self.brain)

    @cached_property
    def paint_head(self) -> Painter:
        """Picture of a slice of the head."""
        return grey(self.head.plane(), self.greys)

    @cached_property
    def axial(self) -> list[tuple[int, int]]:
        """Axial slices through the findings."""
        gap = math.ceil(MIN_GAP_MM / self.scan.spacing[AXIAL])
        chosen = choose_slices(self.labels, AXIAL, self.extent, COUNT, gap=gap)
        return [(AXIAL, index) for index in chosen]

    @cached_property
    def focus(self) -> list[tuple[int, int]]:
        """Three planes through the largest finding, or through the middle of the brain."""
        first = int(self.rows[0]["index"]) if self.rows and "index" in self.rows[0] else 1
        mask = self.labels == first
        if mask.any():
            return planes_through(mask)
        return [(axis, spread(self.brain_box[axis], 1)[0]) for axis in range(3)]

    @cached_property
    def upright(self) -> list[tuple[int, int]]:
        """Two coronal and two sagittal slices through the brain."""
        return [
            (axis, place)
            for axis in (CORONAL, SAGITTAL)
            for place in spread(self.brain_box[axis], 2)
        ]

    @cached_property
    def brain_box(self) -> Box:
        """Box around the brain."""
        if not self.brain.any():
            return self.head.box
        return bounding_box(self.brain, self.scan.spacing, margin_mm=0)

    def plane(self, canvas: Canvas, image: Image | Placed) -> Plane:
        """Slices of an image on the grid of the scan, or of one that is placed on it."""
        if isinstance(image, Placed):
            return canvas.moved(image.volume, image.to_voxel)
        return canvas.plane(load_like(image, self.scan).data)
