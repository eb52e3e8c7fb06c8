"""Measure whether a scan can be trusted: field of view, alignment, contrast. Nothing is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage
from skimage.metrics import normalized_mutual_information

from uadbids.preproc.atlas import Atlas
from uadbids.preproc.grid import Template

# A face of the image through which this much of the brain's largest section passes is a cut:
# the pole of a brain may touch it.
_CUT_SHARE = 0.15
_SIDES = (("left", "right"), ("back", "front"), ("below", "above"))
_SHIFT = 8
_BINS = 32


def assess(
    brain_file: Path, volume_file: Path, mask_file: Path, template: Template
) -> dict[str, Any]:
    """Measure a preprocessed scan.

    Parameters
    ----------
    brain_file : Path
        Brain mask on the grid of the conformed scan (RAS).
    volume_file, mask_file : Path
        Scaled volume and brain mask on the template grid.
    template : Template
        Template and its brain mask.

    Returns
    -------
    dict
        Facts. ``FieldOfViewCut``: faces of the image that cut the brain. ``RegistrationGain``:
        mutual information with the template, as a multiple of the highest with the template
        shifted by 8 mm along an axis: above 1 where no shift would be better. ``GreyWhiteRatio``:
        median of grey over that of white matter. ``VentricleLevel``: darkest tenth of the lateral
        ventricles over the median of the brain. The last two use the atlas and are None where it
        finds no such tissue.
    """
    volume = np.asarray(nib.load(volume_file).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(mask_file).dataobj) > 0
    return {
        "FieldOfViewCut": cut_sides(np.asarray(nib.load(brain_file).dataobj) > 0),
        "RegistrationGain": _rounded(registration_gain(volume, mask, template)),
        **_contrast(volume, mask),
    }


def cut_sides(brain: np.ndarray) -> list[str]:
    """Tell which faces of an image cut the brain off.

    Parameters
    ----------
    brain : ndarray of bool, shape (X, Y, Z)
        Brain mask in RAS order.

    Returns
    -------
    list of str
        Of ``left``, ``right``, ``back``, ``front``, ``below``, ``above``.
    """
    sides = []
    for axis, names in enumerate(_SIDES):
        areas = brain.sum(axis=tuple(other for other in range(3) if other != axis))
        sides += [
            name
            for name, end in zip(names, (areas[0], areas[-1]), strict=True)
            if end > _CUT_SHARE * areas.max()
        ]
    return sides


def registration_gain(volume: np.ndarray, mask: np.ndarray, template: Template) -> float:
    """Compare the pose that was found with poses beside it.

    Parameters
    ----------
    volume, mask : ndarray, shape (170, 204, 170)
        Scan and brain mask on the template grid.
    template : Template
        What it was aligned with.

    Returns
    -------
    float
        Normalised mutual information (Studholme et al. 1999), less that of independent images,
        over the highest of the template shifted by 8 mm to the six sides. The absolute value
        depends on contrast and noise of a scan; whether it has its peak here does not.
    """
    t1w = np.asarray(nib.load(template.t1w).dataobj, dtype=np.float32)
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    shifts = [
        tuple(sign * _SHIFT if axis == moved else 0 for axis in range(3))
        for moved in range(3)
        for sign in (-1, 1)
    ]
    here = _information(volume, mask, t1w, brain)
    beside = max(
        _information(volume, mask, *(np.roll(a, shift, (0, 1, 2)) for a in (t1w, brain)))
        for shift in shifts
    )
    return here / beside if beside > 0 else 0.0


def _information(volume: np.ndarray, mask: np.ndarray, t1w: np.ndarray, brain: np.ndarray) -> float:
    both = mask & brain
    if not both.any() or not np.ptp(volume[both]) or not np.ptp(t1w[both]):
        return 0.0
    return float(normalized_mutual_information(volume[both], t1w[both], bins=_BINS)) - 1.0


def _contrast(volume: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    labels = Atlas.packaged().on_template()
    white = ndimage.binary_erosion(labels.white, iterations=3) & mask
    grey, ventricles = labels.cortex & mask, ndimage.binary_erosion(labels.ventricles) & mask
    level = float(np.median(volume[mask])) if mask.any() else 0.0
    known = white.any() and grey.any()
    ratio = np.median(volume[grey]) / max(np.median(volume[white]), 1e-6) if known else None
    darkest = np.percentile(volume[ventricles], 10) / level if ventricles.any() and level else None
    return {"GreyWhiteRatio": _rounded(ratio), "VentricleLevel": _rounded(darkest)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
