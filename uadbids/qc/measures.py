"""Measure whether a scan can be trusted: field of view, alignment, contrast. Nothing is judged."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.stats import spearmanr

from uadbids.preproc.atlas import Atlas
from uadbids.preproc.similarity import look_around
from uadbids.preproc.template import Template
from uadbids.qc.orientation import orientation_ratio

# A face of the image through which this much of the brain's largest section passes is a cut:
# the pole of a brain may touch it.
_CUT_SHARE = 0.15
_SIDES = (("left", "right"), ("back", "front"), ("below", "above"))
_FLUID = 0.6
_BLUR_MM = 2.0
_LEAST_TISSUE = 1000
# Of smoothed voxels a few say as much as all.
_RANKED_STEP = 8


def assess(
    brain_file: Path, volume_file: Path, mask_file: Path, template: Template
) -> dict[str, Any]:
    """Measure a preprocessed scan.

    The brain mask is on the grid of the conformed scan (RAS), scaled volume and mask are on the
    template grid. Facts: ``FieldOfViewCut``, see `cut_sides`; ``RegistrationGain``, see
    `similarity.Neighbours`; ``OrientationRatio``, see `orientation_ratio`; and those of `contrast`.
    """
    volume = np.asarray(nib.load(volume_file).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(mask_file).dataobj) > 0
    t1w = np.asarray(nib.load(template.t1w).dataobj, dtype=np.float32)
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    return {
        "FieldOfViewCut": cut_sides(np.asarray(nib.load(brain_file).dataobj) > 0),
        "RegistrationGain": _rounded(look_around(volume, mask, t1w, brain).gain),
        "OrientationRatio": _rounded(orientation_ratio(volume, t1w, brain)),
        **contrast(volume, mask, t1w),
    }


def cut_sides(brain: np.ndarray) -> list[str]:
    """Name the faces of an image that cut the brain off, of a brain mask (X, Y, Z) in RAS order."""
    sides = []
    for axis, names in enumerate(_SIDES):
        areas = brain.sum(axis=tuple(other for other in range(3) if other != axis))
        sides += [
            name
            for name, end in zip(names, (areas[0], areas[-1]), strict=True)
            if end > _CUT_SHARE * areas.max()
        ]
    return sides


def contrast(volume: np.ndarray, mask: np.ndarray, t1w: np.ndarray) -> dict[str, float | None]:
    """Measure what distinguishes a FLAIR from other sequences; shapes are (170, 204, 170).

    ``T1wCorrelation``: of ranks (Spearman), with the template, over tissue (fluid left out), both
    smoothed by 2 mm. ``VentricleLevel``: darkest tenth of the lateral ventricles over the median of
    the brain. None where the atlas finds no such tissue.
    """
    tissues = Atlas.packaged().on_template()
    level = float(np.median(volume[mask])) if mask.any() else 0.0
    # Fluid is dark on both: it would make any two of them alike.
    tissue = mask & (tissues.white | tissues.cortex) & (volume > _FLUID * level)
    correlation = None
    if np.count_nonzero(tissue) > _LEAST_TISSUE:
        smooth = (ndimage.gaussian_filter(image, _BLUR_MM)[tissue] for image in (volume, t1w))
        # Of ranks: a few bright lesions of white matter would make a FLAIR more like T1.
        correlation = spearmanr(*(values[::_RANKED_STEP] for values in smooth)).statistic
    ventricles = ndimage.binary_erosion(tissues.ventricles) & mask
    darkest = np.percentile(volume[ventricles], 10) / level if ventricles.any() and level else None
    return {"T1wCorrelation": _rounded(correlation), "VentricleLevel": _rounded(darkest)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
