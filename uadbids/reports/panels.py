"""From volumes to the panels of a sheet: grey scales, colours and outlines of one slice."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from uadbids.reports.slices import (
    EDGE_LETTERS,
    BoolArray,
    Box,
    FloatArray,
    Volume,
    cut,
    picture_spacing,
    position,
)
from uadbids.reports.svg import Outline, Panel, anomaly_colours, level_outline, mask_outline

# Bright cyan and yellow stay apart from grey, from the inferno map and from each other for readers
# with any of the common forms of colour blindness.
LESION = BRAIN = "#00e5ff"
TISSUE = "#ffd21f"
MIN_PIXEL_MM = 0.5
# Share of the median brain intensity of a T1-weighted image that lies between fluid and cortex.
FLUID_LEVEL = 0.7

# Both draw the slice (axis, index): one its pixels, the other a line over them.
Painter = Callable[[int, int], NDArray[np.uint8]]
Tracer = Callable[[int, int], Outline]


def window(data: FloatArray, region: BoolArray) -> tuple[float, float]:
    """Grey range (black, white): wide enough at the top that bright lesions keep their texture."""
    values = data[region][::7] if region.any() else data.ravel()[::7]
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


def _picture(volume: Volume, box: Box, axis: int, index: int) -> FloatArray:
    """Resample a slice to square pixels, not below half a millimetre to keep files small."""
    plane = cut(volume.data, axis, index, box).astype(np.float32)
    across, down = picture_spacing(volume.spacing, axis)
    pixel = max(min(across, down), MIN_PIXEL_MM)
    columns, rows = plane.shape[1] * across / pixel, plane.shape[0] * down / pixel
    size = (max(round(columns), 1), max(round(rows), 1))
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))


def grey(volume: Volume, box: Box, greys: tuple[float, float]) -> Painter:
    """Paint intensities between black and white; all black if the range is empty."""
    black, white = greys
    scale = 255 / (white - black) if white > black else 0.0

    def paint(axis: int, index: int) -> NDArray[np.uint8]:
        shades = (_picture(volume, box, axis, index) - black) * scale
        return np.clip(shades, 0, 255).astype(np.uint8)

    return paint


def heat(anomaly: Volume, box: Box, maximum: float) -> Painter:
    """Paint the anomaly map alone, black where it is zero or negative."""

    def paint(axis: int, index: int) -> NDArray[np.uint8]:
        values = _picture(anomaly, box, axis, index) / maximum
        return anomaly_colours(values) * (values > 0)[..., None].astype(np.uint8)

    return paint


def over(
    under: Painter, anomaly: Volume, box: Box, maximum: float, threshold: float | None
) -> Painter:
    """Anomaly colours over the scan: opaque from the threshold on, fading out below it."""
    full = threshold if threshold else maximum / 3

    def paint(axis: int, index: int) -> NDArray[np.uint8]:
        values = _picture(anomaly, box, axis, index)
        alpha = 0.9 * np.clip(values / full, 0, 1)[..., None] ** 2
        mixed = (
            under(axis, index)[..., None] * (1 - alpha) + anomaly_colours(values / maximum) * alpha
        )
        return mixed.astype(np.uint8)

    return paint


def trace(volume: Volume, box: Box, mask: BoolArray, colour: str) -> Tracer:
    """Trace the border of a mask."""

    def line(axis: int, index: int) -> Outline:
        plane = cut(mask, axis, index, box).astype(bool)
        return Outline(mask_outline(plane, picture_spacing(volume.spacing, axis)), colour)

    return line


def trace_tissue(template: Volume, box: Box, inside: BoolArray) -> Tracer:
    """Border between fluid and tissue of a T1-weighted template, without the brain's own edge."""
    middle = float(np.median(template.data[inside])) if inside.any() else 0.0

    def line(axis: int, index: int) -> Outline:
        spacing = picture_spacing(template.spacing, axis)
        core = ndimage.binary_erosion(cut(inside, axis, index, box), iterations=2)
        plane = np.where(core, cut(template.data, axis, index, box), middle).astype(np.float64)
        smooth = ndimage.gaussian_filter(plane, (1 / spacing[1], 1 / spacing[0]))
        lines = level_outline(smooth, FLUID_LEVEL * middle, spacing, min_points=25)
        return Outline(lines, TISSUE, 0.5)

    return line


def panels(
    volume: Volume,
    box: Box,
    views: Sequence[tuple[int, int]],
    paint: Painter | None,
    tracers: Sequence[Tracer] = (),
) -> tuple[Panel, ...]:
    """One panel for each view (axis, index), painted or clear, and traced, with its labels."""
    return tuple(_panel(volume, box, *view, paint, tracers) for view in views)


def _panel(
    volume: Volume,
    box: Box,
    axis: int,
    index: int,
    paint: Painter | None,
    tracers: Sequence[Tracer],
) -> Panel:
    across, down = picture_spacing(volume.spacing, axis)
    rows, columns = cut(volume.data, axis, index, box).shape
    return Panel(
        pixels=paint(axis, index) if paint else None,
        width=columns * across,
        height=rows * down,
        label=position(volume, axis, index, box),
        edges=EDGE_LETTERS[axis],
        outlines=tuple(trace(axis, index) for trace in tracers),
    )
