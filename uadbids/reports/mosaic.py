"""The figures of a scan: what was found, the three steps that it rests on, a thumbnail.

Every function takes the `Scene` of a scan, writes one SVG and returns its path. All show the same
slices of the scan as it was acquired, in radiological convention (the patient's left is on the
right of the picture) and in true proportions. ScanError if an image cannot be read or its grid is
another than it should be.
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uadbids.reports.findings import keys, style_of, trace_findings
from uadbids.reports.outlines import level_outline
from uadbids.reports.panels import (
    BRAIN,
    TEMPLATE,
    Canvas,
    Plane,
    Tracer,
    colour_maximum,
    grey,
    heat,
    panels,
    trace,
    trace_half,
    veil,
    window,
)
from uadbids.reports.scene import Placed, Scene
from uadbids.reports.slices import AXIAL, SAGITTAL, Image, load_volume
from uadbids.reports.svg import ColourBar, Key, Outline, Row, Sheet, write_panel, write_sheet

COLUMNS = 4
MIDLINE, MIDLINE_DASH = "#ffffff", (4.0, 3.0)
VENTRICLES, VENTRICLE_DASH = "#ff8be0", (2.0, 1.6)
CONVENTION = (
    "Radiological convention: the patient's left (L) is on the right of the picture. Positions are "
    "in the image's own coordinates; x grows to the right of the patient."
)
# Flags whose cause the outline of the template shows, and those that the brain mask's shows.
_ALIGNMENT = frozenset({"registration", "orientation"})
_MASK = frozenset({"brain-mask-leak", "brain-volume", "mask-boundary", "field-of-view-cut"})


def draw_detection(
    scene: Scene, anomaly: Image | Placed, out: Path, *, threshold: float | None = None
) -> Path:
    """Draw the scan, and over it the outlines and numbers of the findings.

    The outlines are hidden by the fragment `svg.UNDER`, and the anomaly map is shown by `svg.MAP`.
    The threshold of the findings fixes its colours (0 to three times the threshold), so that
    figures of different scans compare; without it the map's own 99.9th percentile does.
    """
    data = (anomaly.volume if isinstance(anomaly, Placed) else load_volume(anomaly)).data
    maximum = colour_maximum(data, threshold)
    plain = grey(scene.close.plane(), scene.greys)
    cover = veil(scene.plane(scene.close, anomaly), maximum, threshold)
    lines = (trace_findings(scene.close, scene.labels, scene.rows),)

    def row(caption: str, views: list[tuple[int, int]]) -> Row:
        return Row(
            caption,
            panels(scene.close, views, plain),
            panels(scene.close, views, None, lines),
            panels(scene.close, views, cover, ()),
        )

    sheet = Sheet(
        title="FLAIR and findings in native space",
        rows=(
            row(f"Three planes through {_focus(scene)}", scene.focus),
            *(row(caption, views) for caption, views in in_rows("Axial slices", scene.axial)),
        ),
        colour_bar=ColourBar("anomaly map, once switched on", maximum, threshold),
        keys=keys(scene.rows) if scene.labels.any() else (),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)


def _focus(scene: Scene) -> str:
    if not scene.labels.any():
        return "the brain (nothing was found)"
    if not scene.rows:
        return "the largest finding"
    first = scene.rows[0]
    place = f": {first['location']}" if first.get("location") else ""
    return f"finding {first.get('index', 1)}, the largest ({style_of(first).words}){place}"


def in_rows(caption: str, views: list[tuple[int, int]]) -> list[tuple[str, list[tuple[int, int]]]]:
    """Captions and views of the rows of a sheet; the caption is that of the first."""
    starts = range(0, len(views), COLUMNS)
    return [("" if start else caption, views[start : start + COLUMNS]) for start in starts]


def draw_brain_mask(scene: Scene, out: Path) -> Path:
    """Draw the outline of the brain mask on slices of the whole head in all three planes."""
    canvas, outline = scene.head, (trace(scene.head, scene.brain, BRAIN),)
    views = (*in_rows("Axial", scene.axial), ("Coronal and sagittal", scene.upright))
    rows = tuple(
        Row(caption, panels(canvas, part, scene.paint_head), panels(canvas, part, None, outline))
        for caption, part in views
    )
    keys = (Key(BRAIN, "brain mask"),)
    return write_sheet(Sheet("Brain mask", rows, keys=keys, note=CONVENTION), out)


class Landmarks(NamedTuple):
    """The template and what can be recognised of it, brought to the scan by an affine transform."""

    t1w: Placed
    brain: Placed  # brain mask
    ventricles: Placed  # mask of the lateral ventricles
    # From voxels of the scan to millimetres whose x is 0 in the midline, (4, 4).
    to_average: NDArray[np.floating]


def trace_template(scene: Scene, landmarks: Landmarks) -> tuple[Tracer, ...]:
    """Trace landmarks of the template over the head: brain, lateral ventricles, midline."""
    canvas = scene.head
    inside = scene.plane(canvas, landmarks.brain)
    fluid = scene.plane(canvas, landmarks.ventricles)
    return (
        trace_half(canvas, inside, TEMPLATE),
        trace_half(canvas, fluid, VENTRICLES, VENTRICLE_DASH),
        _trace_midline(canvas, inside, landmarks.to_average),
    )


def draw_registration(scene: Scene, landmarks: Landmarks, out: Path) -> Path:
    """Draw the whole head, and below it the template, both under landmarks of the template."""
    canvas, outlines = scene.head, trace_template(scene, landmarks)
    greys = window(landmarks.t1w.volume.data, landmarks.brain.volume.data > 0)
    below = grey(scene.plane(canvas, landmarks.t1w), greys)
    rows = tuple(
        Row(
            caption,
            panels(canvas, part, below, outlines),
            panels(canvas, part, scene.paint_head, outlines),
        )
        for caption, part in (("Axial", scene.axial[1::2]), ("Coronal and sagittal", scene.upright))
    )
    sheet = Sheet(
        title="Alignment to the template",
        rows=rows,
        keys=(
            Key(TEMPLATE, "brain of the template"),
            Key(VENTRICLES, "its lateral ventricles", VENTRICLE_DASH),
            Key(MIDLINE, "its midline", MIDLINE_DASH),
        ),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)


def _trace_midline(canvas: Canvas, inside: Plane, to_average: NDArray[np.floating]) -> Tracer:
    """Where x is 0 in the average brain; sagittal slices lie along it."""

    def line(axis: int, index: int) -> tuple[Outline, ...]:
        if axis == SAGITTAL:
            return ()
        brain = inside(axis, index)
        x = canvas.places(axis, index, brain.shape, to_average)[0]
        width, height = canvas.size(axis)
        spacing = width / brain.shape[1], height / brain.shape[0]
        path = level_outline(np.ma.masked_where(brain < 0.5, x), 0.0, spacing)
        return (Outline(path, MIDLINE, 0.8, MIDLINE_DASH),)

    return line


def draw_reconstruction(
    scene: Scene,
    volume: Image | Placed,
    reconstruction: Image | Placed,
    anomaly: Image | Placed,
    out: Path,
    *,
    threshold: float | None = None,
) -> Path:
    """Draw input, reconstruction (over the input again), and anomaly map.

    Input and reconstruction share one grey scale. The threshold has the meaning of
    `draw_detection`.
    """
    images = [
        image.volume if isinstance(image, Placed) else load_volume(image)
        for image in (volume, reconstruction, anomaly)
    ]
    greys = window(images[0].data, images[1].data != 0)
    maximum = colour_maximum(images[2].data, threshold)
    canvas, views = scene.close, scene.axial
    plain = grey(scene.plane(canvas, volume), greys)
    rebuilt = grey(scene.plane(canvas, reconstruction), greys)
    shades = heat(scene.plane(canvas, anomaly), maximum)
    rows = (
        Row("Scan as the model sees it", panels(canvas, views, plain)),
        Row("Healthy reconstruction", panels(canvas, views, plain), panels(canvas, views, rebuilt)),
        Row("Anomaly map", panels(canvas, views, shades)),
    )
    sheet = Sheet(
        title="Reconstruction and anomaly map",
        rows=rows,
        colour_bar=ColourBar("anomaly map", maximum, threshold),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)


def draw_thumbnail(scene: Scene, landmarks: Landmarks, flags: Collection[str], out: Path) -> Path:
    """Draw what is doubtful in a scan, by its flags, else its largest finding.

    That is an axial slice, in pixels of 1 mm, for the contact sheet of a study.
    """
    canvas, tracer = scene.head, trace(scene.head, scene.brain, BRAIN)
    if _ALIGNMENT & set(flags):
        tracer = trace_template(scene, landmarks)[0]
    elif not _MASK & set(flags):
        canvas, tracer = scene.close, trace_findings(scene.close, scene.labels, scene.rows)
    small = Canvas(canvas.volume, canvas.box, least_mm=1.0)
    plain = grey(small.plane(), scene.greys)
    (panel,) = panels(small, [scene.focus[AXIAL]], plain, (tracer,))
    return write_panel(panel, out)
