"""The four figures of a report: what was found, and the three steps that it rests on.

Every function takes NIfTI paths, writes one SVG, returns its path, and raises `ScanError` if a file
cannot be read or the grids differ. Pictures are in radiological convention (the patient's left is
on the right of the picture) and in true proportions.
"""

import math
from pathlib import Path

from uadbids.reports.panels import (
    BRAIN,
    LESION,
    TISSUE,
    colour_maximum,
    grey,
    heat,
    over,
    panels,
    trace,
    trace_tissue,
    window,
)
from uadbids.reports.slices import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    Image,
    bounding_box,
    choose_slices,
    head_mask,
    largest_component,
    load_like,
    load_volume,
    spread,
)
from uadbids.reports.svg import ColourBar, Row, Sheet, write_sheet

COLUMNS = 6
ROWS = 2
COUNT = 7
MIN_GAP_MM = 5
CONVENTION = (
    "Radiological convention: the patient's left (L) is on the right of the picture. Positions are "
    "in the image's own coordinates; x grows to the right of the patient."
)


def draw_detection(
    flair: Image,
    anomaly: Image,
    lesions: Image,
    out: Path,
    *,
    brain_mask: Image | None = None,
    threshold: float | None = None,
) -> Path:
    """Draw the scan, and over it the anomaly map and the outlines of the findings.

    What lies over the axial slices is hidden by the fragment `svg.UNDER`; the other planes stand
    in both ways side by side.

    Parameters
    ----------
    flair, anomaly, lesions : Path or Volume
        Scan, anomaly map and mask of findings on the grid of the scan.
    brain_mask : Path or Volume, optional
        Frames the pictures. Without it the head is framed.
    threshold : float, optional
        Threshold of the mask. It fixes the colours (0 to three times the threshold), so that
        figures of different scans compare; without it the scan's own 99.9th percentile does.
    """
    scan = load_volume(flair)
    unusual = load_like(anomaly, scan)
    found = load_like(lesions, scan).data > 0
    brain = load_like(brain_mask, scan).data > 0 if brain_mask else head_mask(scan)
    box = bounding_box(brain | found, scan.spacing, margin_mm=8)
    maximum = colour_maximum(unusual.data, threshold)
    plain = grey(scan, box, window(scan.data, brain))
    overlay = over(plain, unusual, box, maximum, threshold)
    outline = (trace(scan, box, found, LESION),)

    gap = math.ceil(MIN_GAP_MM / scan.spacing[AXIAL])
    slices = choose_slices(found, AXIAL, box[AXIAL], ROWS * COLUMNS, gap=gap)
    focus = largest_component(found)
    planes = [
        (axis, choose_slices(focus, axis, box[axis], 1)[0]) for axis in (SAGITTAL, CORONAL, AXIAL)
    ]
    through = "the largest finding" if found.any() else "the brain (nothing was found)"
    rows = (
        *(
            Row(
                "Axial slices" if not start else "",
                panels(scan, box, views, plain),
                panels(scan, box, views, overlay, outline),
            )
            for start in range(0, len(slices), COLUMNS)
            if (views := [(AXIAL, i) for i in slices[start : start + COLUMNS]])
        ),
        Row(
            f"Three planes through {through}",
            (*panels(scan, box, planes, plain), *panels(scan, box, planes, overlay, outline)),
        ),
    )
    sheet = Sheet(
        title="FLAIR, anomaly map and findings in native space",
        rows=rows,
        colour_bar=ColourBar("anomaly map", maximum, threshold),
        keys=((LESION, "mask of findings"),),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)


def draw_brain_mask(flair: Image, brain_mask: Image, out: Path) -> Path:
    """Draw the outline of the brain mask on slices of the whole head in all three planes."""
    scan = load_volume(flair)
    brain = load_like(brain_mask, scan).data > 0
    # The head frames the pictures, not the mask: a mask that misses half the brain must show it.
    box = bounding_box(head_mask(scan) | brain, scan.spacing, margin_mm=3)
    extent = bounding_box(brain, scan.spacing, margin_mm=0) if brain.any() else box
    plain = grey(scan, box, window(scan.data, brain))
    outline = (trace(scan, box, brain, BRAIN),)
    names = ("Sagittal", "Coronal", "Axial")
    rows = tuple(
        Row(
            names[axis],
            panels(scan, box, views, plain),
            panels(scan, box, views, None, outline),
        )
        for axis, n in ((AXIAL, COUNT), (CORONAL, COUNT), (SAGITTAL, COUNT - 1))
        if (views := [(axis, i) for i in spread(extent[axis], n)])
    )
    keys = ((BRAIN, "brain mask"),)
    return write_sheet(Sheet("Brain mask", rows, keys=keys, note=CONVENTION), out)


def draw_registration(template: Image, template_mask: Image, volume: Image, out: Path) -> Path:
    """Draw the template and over it the aligned scan, both under the outlines of the template.

    The template (T1-weighted), its brain mask, and the scan resampled to it are on one grid.
    """
    fixed = load_volume(template)
    inside = load_like(template_mask, fixed).data > 0
    moved = load_like(volume, fixed)
    box = bounding_box(inside, fixed.spacing, margin_mm=10)
    axial = [(AXIAL, i) for i in spread(box[AXIAL], COUNT)]
    others = [(axis, i) for axis in (CORONAL, SAGITTAL) for i in spread(box[axis], 3)]
    outlines = (trace(fixed, box, inside, BRAIN), trace_tissue(fixed, box, inside))
    below = grey(fixed, box, window(fixed.data, inside))
    above = grey(moved, box, window(moved.data, inside))
    rows = tuple(
        Row(
            planes,
            panels(fixed, box, views, below, outlines),
            panels(moved, box, views, above, outlines),
        )
        for planes, views in (("Axial", axial), ("Coronal and sagittal", others))
    )
    sheet = Sheet(
        title="Alignment to the template",
        rows=rows,
        keys=((BRAIN, "brain of the template"), (TISSUE, "ventricles and sulci of the template")),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)


def draw_reconstruction(
    volume: Image,
    reconstruction: Image,
    anomaly: Image,
    lesions: Image,
    out: Path,
    *,
    threshold: float | None = None,
) -> Path:
    """Draw input, reconstruction (over the input again), anomaly map and findings.

    Images are on the template grid. Only slices that the model saw are drawn (those where the
    reconstruction is not zero); input and reconstruction share one grey scale. The threshold has
    the meaning of `draw_detection`.
    """
    scan = load_volume(volume)
    healthy, unusual = load_like(reconstruction, scan), load_like(anomaly, scan)
    found = load_like(lesions, scan).data > 0
    seen = healthy.data != 0
    box = bounding_box(seen if seen.any() else scan.data > 0, scan.spacing, margin_mm=4)
    greys = window(scan.data, seen)
    maximum = colour_maximum(unusual.data, threshold)
    plain = grey(scan, box, greys)
    extent = bounding_box(seen, scan.spacing, margin_mm=0)[AXIAL]
    gap = math.ceil(MIN_GAP_MM / scan.spacing[AXIAL])
    views = [(AXIAL, i) for i in choose_slices(found, AXIAL, extent, COUNT, gap=gap)]
    outline = (trace(scan, box, found, LESION),)
    rows = (
        Row("Scan as the model sees it", panels(scan, box, views, plain)),
        Row(
            "Healthy reconstruction",
            panels(scan, box, views, plain),
            panels(scan, box, views, grey(healthy, box, greys)),
        ),
        Row("Anomaly map", panels(scan, box, views, heat(unusual, box, maximum))),
        Row("Mask of findings", panels(scan, box, views, plain, outline)),
    )
    sheet = Sheet(
        title="Reconstruction and anomaly map in template space",
        rows=rows,
        colour_bar=ColourBar("anomaly map", maximum, threshold),
        keys=((LESION, "mask of findings"),),
        note=CONVENTION,
    )
    return write_sheet(sheet, out)
