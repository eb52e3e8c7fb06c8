"""All figures of one scan, and the images of its viewer; each file is read once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from uadbids.detection.erosion import examined_part
from uadbids.detection.residuals import RESIDUALS
from uadbids.model.bundle import read_card
from uadbids.model.calibration import Calibration
from uadbids.model.card import Card
from uadbids.preproc.atlas import Atlas
from uadbids.preproc.template import Template
from uadbids.preproc.volume import Volume
from uadbids.reports.histogram import draw_histogram
from uadbids.reports.mosaic import (
    Landmarks,
    draw_brain_mask,
    draw_detection,
    draw_reconstruction,
    draw_registration,
    draw_thumbnail,
)
from uadbids.reports.scene import Placed, Scene
from uadbids.reports.slices import AXIAL, BoolArray, load_volume
from uadbids.reports.viewer import write_viewer

# Every how many voxels it is looked which slices were examined, and what lies outside the template.
_STEP = 2


class Alignment(NamedTuple):
    """How scan, template grid and average brain lie to each other: matrices, (4, 4)."""

    # From voxels of the scan (axes closest to RAS) to voxels of the template grid (rigid).
    to_template: NDArray[np.floating]
    # From voxels of the template grid to millimetres of MNI152 (affine).
    to_average: NDArray[np.floating]


def draw_figures(
    source: Path,
    files: Mapping[str, Path],
    *,
    rows: Sequence[Mapping[str, Any]],
    alignment: Alignment,
    facts: Mapping[str, Any],
    bundle: Path,
    folder: Path,
) -> dict[str, Path]:
    """Draw what was found in a scan, and the steps that it rests on, into a folder.

    `source` is the scan as it was found, `files` are images by their keys of `names.DERIVATIVES`,
    `rows` those of the table of findings; facts are ``Threshold``, ``ResidualKind`` and ``Flags``.
    Of the model's folder only the card is read. ScanError if a file cannot be read.

    Returns
    -------
    dict of str to Path
        Kind of figure (``reports/templates/subject.toml``), and ``thumbnail`` -> SVG file;
        ``viewer`` -> JSON.
    """
    threshold, template, card = float(facts["Threshold"]), Template.packaged(), read_card(bundle)
    kinds = ("preproc", "recon", "anomaly", "components", "brain")
    seen, rebuilt, unusual, labels, brain = (load_volume(files[f"template_{k}"]) for k in kinds)
    examined = _examined(brain.data > 0, card, facts, alignment, template)
    scene = Scene.read(
        source,
        files["native_components"],
        brain_mask=files["native_brain"],
        rows=rows,
        extent=_slices(examined, alignment.to_template),
    )
    landmarks = landmarks_of(template, alignment)
    moved = Placed(unusual, alignment.to_template)
    calibrated = facts["ResidualKind"] == card.detection.residual
    return {
        "detection": draw_detection(scene, moved, folder / "detection.svg", threshold=threshold),
        "viewer": write_viewer(
            seen, unusual, labels, folder / "viewer.json",
            rows=rows, threshold=threshold, to_average=alignment.to_average,
        ),
        "histogram": draw_histogram(
            unusual.data[examined],
            threshold,
            Calibration.from_dict(card.calibration) if calibrated else None,
            folder / "histogram.svg",
        ),
        "reconstruction": draw_reconstruction(
            scene,
            Placed(seen, alignment.to_template),
            Placed(rebuilt, alignment.to_template),
            moved,
            folder / "reconstruction.svg",
            threshold=threshold,
        ),
        "brain": draw_brain_mask(scene, folder / "brain.svg"),
        "registration": draw_registration(scene, landmarks, folder / "registration.svg"),
        "thumbnail": draw_thumbnail(
            scene, landmarks, facts.get("Flags", ()), folder / "thumbnail.svg"
        ),
    }  # fmt: skip


def _examined(
    brain: BoolArray, card: Card, facts: Mapping[str, Any], alignment: Alignment, template: Template
) -> BoolArray:
    """Where findings were looked for, on the template grid."""
    whole = RESIDUALS[facts["ResidualKind"]].needs_reader
    examined = examined_part(brain, card.detection.erosion_mm, None if whole else card.crop)
    coarse = examined[::_STEP, ::_STEP, ::_STEP]
    inside = coarse.copy()
    points = apply_affine(alignment.to_average, _STEP * np.argwhere(coarse))
    inside[coarse] = template.reaches(points)
    near: BoolArray = inside.repeat(_STEP, 0).repeat(_STEP, 1).repeat(_STEP, 2)
    return examined & near[tuple(map(slice, examined.shape))]


def _slices(examined: BoolArray, to_template: NDArray[np.floating]) -> slice | None:
    """Axial slices of the scan that were examined."""
    places = _STEP * np.argwhere(examined[::_STEP, ::_STEP, ::_STEP])
    if not len(places):
        return None
    heights = apply_affine(np.linalg.inv(to_template), places)[:, AXIAL]
    low, high = np.percentile(heights, (1, 99))
    return slice(max(round(low), 0), round(high) + 1)


def landmarks_of(template: Template, alignment: Alignment) -> Landmarks:
    """Bring the template to the size and shape of the scan."""
    to_average = alignment.to_average @ alignment.to_template

    def placed(volume: Volume) -> Placed:
        return Placed(volume, np.linalg.inv(volume.affine) @ to_average)

    t1w, brain = load_volume(template.t1w), load_volume(template.brain_mask)
    return Landmarks(
        placed(t1w), placed(brain), placed(Atlas.packaged().lateral_ventricles()), to_average
    )
