"""The finding-frequency map of a study over the template, as one sheet."""

from pathlib import Path

import numpy as np

from uadbids.reports.mosaic import CONVENTION
from uadbids.reports.panels import LESION, Canvas, grey, panels, trace, veil, window
from uadbids.reports.slices import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    bounding_box,
    load_like,
    load_volume,
    spread,
)
from uadbids.reports.svg import ColourBar, Key, Row, Sheet, write_sheet

# Slices of a row.
COUNT = 7
# Colours are opaque from this share of the highest frequency on, and fade out below it.
OPAQUE = 0.1
# The template is darker than it could be, so that frequent places are the brightest in grey print.
DIM = 3.5


def draw_frequency(
    template: Path,
    template_mask: Path,
    frequency: Path,
    out: Path,
    *,
    examined: slice | None = None,
) -> Path:
    """Draw how often findings lie where; ScanError if a file cannot be read or grids differ.

    `frequency` is the share of participants with a finding at each voxel (0 to 1), on the grid of
    the template and its brain mask. Only the axial slices in `examined`, if given, are drawn:
    those that the model looks at. `out` is an SVG file.
    """
    brain = load_volume(template)
    inside = load_like(template_mask, brain).data > 0
    share = load_like(frequency, brain)
    box = bounding_box(inside, brain.spacing, margin_mm=4)
    extent = box[AXIAL]
    if examined is not None:
        seen = slice(max(extent.start, examined.start), min(extent.stop, examined.stop))
        extent = seen if seen.start < seen.stop else extent
    maximum = float(share.data.max()) or 1.0
    black, white = window(brain.data, inside)
    canvas = Canvas(brain, box)
    plain = grey(canvas.plane(), (black, black + DIM * (white - black)))
    colours = veil(canvas.plane(share.data), maximum, OPAQUE * maximum)
    level = maximum / 3
    outline = (trace(canvas, np.asarray(share.data >= level), LESION),)
    axial = [(AXIAL, index) for index in spread(extent, 2 * COUNT)]
    others = [
        (axis, index) for axis, n in ((CORONAL, 4), (SAGITTAL, 3)) for index in spread(box[axis], n)
    ]
    views = {
        "Finding frequency over the template, axial": axial[:COUNT],
        "Axial, further up": axial[COUNT:],
        "Coronal and sagittal": others,
    }
    rows = tuple(
        Row(caption, panels(canvas, places, plain), panels(canvas, places, colours, outline))
        for caption, places in views.items()
        if places
    )
    sheet = Sheet(
        title="Finding frequency in template space",
        rows=rows,
        colour_bar=ColourBar("share of participants with a finding here", maximum),
        keys=(Key(LESION, f"{level:.2g} and more"),),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)
