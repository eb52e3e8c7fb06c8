"""Bring grey values to [0, 1], the same for every scanner."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from uadbids.errors import ScanError
from uadbids.preproc.config import IntensityScale
from uadbids.preproc.template import Template

MEDIAN_VALUE = 0.4
"""Where the brain's median goes: tissue of 2.5 times the median still fits under 1."""
PERCENTILE = 99.5


def scale_intensity(
    in_file: Path, mask_file: Path, out_file: Path, template: Template, scale: IntensityScale
) -> dict[str, Any]:
    """Scale a volume of the template grid to [0, 1] inside the brain, 0 outside, in float32.

    By the ``median``: value / median x 0.4, cut at 1; a lesion cannot move it. By the
    ``percentile``: 0 to the 99.5th percentile of the brain (parity with the paper). Facts: the grey
    value that was mapped to 1, and the share of the brain above it. ScanError when the brain has no
    signal.
    """
    data = np.asarray(nib.load(in_file).dataobj, dtype=np.float32)
    brain = np.asarray(nib.load(mask_file).dataobj) > 0
    top = top_value(data[brain], scale) if brain.any() else 0.0
    if not top > 0:
        raise ScanError(f"{in_file}: the brain has no signal above 0; is the brain mask right?")
    scaled = np.where(brain, np.clip(data / top, 0, 1), 0).astype(np.float32)
    template.save(scaled, out_file)
    return {
        "IntensityTop": round(top, 4),
        "IntensityClippedFraction": round(float((data[brain] > top).mean()), 6),
    }


def top_value(brain: np.ndarray, scale: IntensityScale) -> float:
    """Return the grey value that becomes 1, from the values of the brain's voxels."""
    if scale == "median":
        return float(np.median(brain)) / MEDIAN_VALUE
    return float(np.percentile(brain, PERCENTILE))
