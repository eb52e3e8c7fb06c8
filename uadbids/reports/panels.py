"""From volumes to the panels of a sheet: grey scales, colours and outlines of one slice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from uadbids.reports.outlines import level_outline, mask_outline
from uadbids.reports.slices import (
    EDGE_LETTERS,
    BoolArray,
    Box,
    FloatArray,
    Volume,
    cut,
    position,
)
from uadbids.reports.svg import Mark, Outline, Panel, anomaly_colours, jpeg, png

# Bright cyan and yellow stay apart from grey, from the inferno map and from each other for readers
# with any of the common forms of colour blindness.
LESION = BRAIN = "#00e5ff"
TEMPLATE = "#ffd21f"
# Opacity of the map over a scan, from the threshold on.
_OPACITY = 0.9
_SHADES = 63

# All take a slice (axis, index): its values, a picture of it (a data address), lines over it.
Plane = Callable[[int, int], FloatArray]
Painter = Callable[[int, int], str]
Tracer = Callable[[int, int], Sequence[Outline | Mark]]


@dataclass(frozen=True, eq=False)
class Canvas:
    """What pictures show: the planes of a volume, inside a box of its voxels.

    Pixels are not below `least_mm`, to keep files small.
    """

    volume: Volume
    box: Box
    least_mm: float = 0.5

    def spacing(self, axis: int) -> tuple[float, float]:
        """Size in mm of a voxel in a picture of `cut`: (across, down)."""
        across, down = (size for a, size in enumerate(self.volume.spacing) if a != axis)
        return across, down

    def size(self, axis: int) -> tuple[float, float]:
        """Size of a picture in mm: (width, height)."""
        across, down = (side.stop - side.start for a, side in enumerate(self.box) if a != axis)
        spacing = self.spacing(axis)
        return across * spacing[0], down * spacing[1]

    def plane(self, data: NDArray[np.generic] | None = None) -> Plane:
        """Values in square pixels; `data` are those of another image on the grid."""
        values = self.volume.data if data is None else data

        def picture(axis: int, index: int) -> FloatArray:
            plane = cut(values, axis, index, self.box).astype(np.float32)
            pixel = max(min(self.spacing(axis)), self.least_mm)
            columns, rows = (max(round(mm / pixel), 1) for mm in self.size(axis))
            resized = Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR)
            return np.asarray(resized)

        return cache(picture)

    def moved(self, other: Volume, to_voxel: NDArray[np.floating]) -> Plane:
        """Values of a volume on another grid, in pixels of its voxels' size; 0 outside of it.

        `to_voxel`, (4, 4), leads from voxels of the canvas to those of the other volume.
        """

        def picture(axis: int, index: int) -> FloatArray:
            columns, rows = (max(round(mm), 1) for mm in self.size(axis))
            places = self.places(axis, index, (rows, columns), to_voxel)
            values = ndimage.map_coordinates(other.data, places, np.float32, order=1)
            return np.asarray(values)

        return cache(picture)

    def places(
        self, axis: int, index: int, shape: tuple[int, ...], matrix: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Where the pixels of a picture lie, (3, rows, columns); `matrix` leads from voxels."""
        left, up = (side for a, side in enumerate(self.box) if a != axis)
        # As `cut` does: both axes run down, the first across.
        x, y = np.meshgrid(_centres(left, shape[1]), _centres(up, shape[0]))
        points = np.insert(np.stack([x, y]), axis, index, axis=0)
        return np.tensordot(matrix[:3, :3], points, 1) + matrix[:3, 3, None, None]


def _centres(side: slice, count: int) -> NDArray[np.floating]:
    """Voxel coordinates of the centres of `count` pixels over a side, descending."""
    return side.stop - 0.5 - (np.arange(count) + 0.5) * (side.stop - side.start) / count


def window(data: FloatArray, region: BoolArray) -> tuple[float, float]:
    """Grey range (black, white): wide enough at the top that bright lesions keep their texture."""
    values = data[::2, ::2, ::2][region[::2, ::2, ::2]]
    values = values if values.size else data.ravel()[::7]
    black, white = np.percentile(values, (0.5, 99.8))
    return float(min(black, np.percentile(data[::4, ::4, ::4], 1))), float(white)


def colour_maximum(anomaly: FloatArray, threshold: float | None) -> float:
    """Anomaly shown in the brightest colour: thrice the threshold, else the 99.9th percentile.

    Never below 0.05, so that the noise of an unremarkable scan is not blown up to full colour.
    """
    if threshold is not None and threshold > 0:
        return 3 * threshold
    positive = anomaly[anomaly > 0]
    return max(float(np.percentile(positive, 99.9)), 0.05) if positive.size else 0.05


def grey(plane: Plane, greys: tuple[float, float]) -> Painter:
    """Paint intensities between black and white; all black if the range is empty."""
    black, white = greys
    scale = 255 / (white - black) if white > black else 0.0

    def paint(axis: int, index: int) -> str:
        shades = (plane(axis, index) - black) * scale
        return jpeg(np.clip(shades, 0, 255).astype(np.uint8))

    return cache(paint)


def heat(plane: Plane, maximum: float) -> Painter:
    """Paint the anomaly map alone, black where it is zero or negative."""

    def paint(axis: int, index: int) -> str:
        values = plane(axis, index) / maximum
        return jpeg(anomaly_colours(values) * (values > 0)[..., None].astype(np.uint8))

    return paint


def veil(plane: Plane, maximum: float, threshold: float | None) -> Painter:
    """Anomaly colours to lie over a scan: opaque from the threshold on, fading out below it."""
    levels = np.arange(_SHADES + 1) / _SHADES
    full = (threshold or maximum / 3) / maximum
    opacity = 255 * _OPACITY * np.clip(levels / full, 0, 1) ** 2
    palette = np.column_stack([anomaly_colours(levels), opacity.astype(np.uint8)])

    def paint(axis: int, index: int) -> str:
        values = np.clip(plane(axis, index) / maximum, 0, 1)
        return png(np.round(_SHADES * values).astype(np.uint8), palette)

    return paint


def trace(
    canvas: Canvas,
    mask: BoolArray,
    colour: str,
    width: float = 0.8,
    dash: tuple[float, ...] = (),
    *,
    halo: bool = True,
) -> Tracer:
    """Trace the border of a mask on the grid of the canvas, by a line as `Outline` has it."""

    def line(axis: int, index: int) -> tuple[Outline]:
        plane = cut(mask, axis, index, canvas.box).astype(bool)
        return (Outline(mask_outline(plane, canvas.spacing(axis)), colour, width, dash, halo),)

    return line


def trace_half(canvas: Canvas, plane: Plane, colour: str, dash: tuple[float, ...] = ()) -> Tracer:
    """Trace where the values of a plane pass 0.5: the border of a mask on another grid."""

    def line(axis: int, index: int) -> tuple[Outline]:
        picture = plane(axis, index)
        width, height = canvas.size(axis)
        spacing = width / picture.shape[1], height / picture.shape[0]
        return (Outline(level_outline(picture, 0.5, spacing, min_points=12), colour, 0.8, dash),)

    return line


def panels(
    canvas: Canvas,
    views: Sequence[tuple[int, int]],
    paint: Painter | None,
    tracers: Sequence[Tracer] = (),
) -> tuple[Panel, ...]:
    """One panel for each view (axis, index): painted, with its labels, or clear; and traced."""
    found = []
    for axis, index in views:
        size = canvas.size(axis)
        drawn = tuple(line for trace in tracers for line in trace(axis, index))
        if paint is None:
            found.append(Panel("", *size, drawn=drawn))
        else:
            # The label is that of the volume's middle: one for a slice, whatever the box.
            label = position(canvas.volume, axis, index)
            found.append(Panel(paint(axis, index), *size, label, EDGE_LETTERS[axis], drawn))
    return tuple(found)
