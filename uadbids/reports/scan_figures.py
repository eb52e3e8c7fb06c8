"""All figures of one scan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from uadbids.detection.postprocess import examined_part
from uadbids.detection.residuals import RESIDUALS
from uadbids.model.bundle import read_card
from uadbids.model.calibration import Calibration
from uadbids.preproc.template import Template
from uadbids.reports.histogram import draw_histogram
from uadbids.reports.mosaic import (
    draw_brain_mask,
    draw_detection,
    draw_reconstruction,
    draw_registration,
)
from uadbids.reports.slices import load_volume


def draw_figures(
    source: Path,
    files: Mapping[str, Path],
    *,
    facts: Mapping[str, Any],
    bundle: Path,
    folder: Path,
) -> dict[str, Path]:
    """Draw what was found, and the steps that it rests on.

    Parameters
    ----------
    source : Path
        Scan as it was found.
    files : mapping of str to Path
        Images by their keys of `names.DERIVATIVES`.
    facts : mapping
        ``Threshold`` and ``ResidualKind``.
    bundle : Path
        Folder of the model; only its card is read.
    folder : Path
        Where to write.

    Returns
    -------
    dict of str to Path
        Kind of figure (``reports/templates/subject.toml``) -> SVG file.

    Raises
    ------
    ScanError
        If a file cannot be read.
    """
    threshold, template = float(facts["Threshold"]), Template.packaged()
    card = read_card(bundle)
    brain = np.asarray(nib.load(files["template_brain"]).dataobj) > 0
    whole = RESIDUALS[facts["ResidualKind"]].needs_reader
    examined = examined_part(brain, card.detection.erosion_mm, None if whole else card.crop)
    calibrated = facts["ResidualKind"] == card.detection.residual
    # What two figures show is read once.
    scan, native_brain = load_volume(source), load_volume(files["native_brain"])
    seen, unusual = load_volume(files["template_preproc"]), load_volume(files["template_anomaly"])
    return {
        "detection": draw_detection(
            scan,
            files["native_anomaly"],
            files["native_lesions"],
            folder / "detection.svg",
            brain_mask=native_brain,
            threshold=threshold,
        ),
        "histogram": draw_histogram(
            unusual.data[examined],
            threshold,
            Calibration.from_dict(card.calibration) if calibrated else None,
            folder / "histogram.svg",
        ),
        "reconstruction": draw_reconstruction(
            seen,
            files["template_recon"],
            unusual,
            files["template_lesions"],
            folder / "reconstruction.svg",
            threshold=threshold,
        ),
        "brain": draw_brain_mask(scan, native_brain, folder / "brain.svg"),
        "registration": draw_registration(
            template.t1w, template.brain_mask, seen, folder / "registration.svg"
        ),
    }
