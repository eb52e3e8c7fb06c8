"""Healthy brains for training and calibration: scans whose lesions are filled and left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from uadbids.core.calibration import Calibration, calibrate
from uadbids.core.config import DetectionConfig
from uadbids.core.grid import Crop
from uadbids.core.lesions import fill, hyperintense
from uadbids.core.models import VAE
from uadbids.core.samples import Sample
from uadbids.detect import examine

# Around a lesion the residual is not healthy either.
LESION_MARGIN = 2
# At 4 as many voxels are taken as in masks of white-matter hyperintensities of the same kind of
# scan; at 3 three times as many, much of it bright normal cortex that has to be learnt.
HYPERINTENSE_Z = 4.0


class VolumePaths(Protocol):
    """Where a preprocessed scan lies."""

    @property
    def volume(self) -> Path:
        """Volume on the template grid."""

    @property
    def mask(self) -> Path:
        """Brain mask."""

    @property
    def lesions(self) -> Path | None:
        """Lesion mask, where there is one."""


@dataclass(frozen=True)
class Healthy:
    """A scan on the model's crop, without its lesions."""

    subject: str
    volume: np.ndarray
    mask: np.ndarray
    excluded: np.ndarray

    def sample(self, crop: Crop) -> Sample:
        """Tensors for the training: the volume as 8 bits."""
        volume = np.round(255 * crop.apply(self.volume)).astype(np.uint8)
        return Sample(
            torch.from_numpy(volume),
            torch.from_numpy(crop.apply(self.mask)),
            torch.from_numpy(~crop.apply(self.excluded)),
        )


def read_healthy(
    paths: VolumePaths, subject: str, exclude_hyperintense: bool, seed: int
) -> Healthy:
    """Read a preprocessed scan, fill its lesions and remember where they were.

    Parameters
    ----------
    paths : VolumePaths
        Volume in [0, 1], brain mask and lesion mask on the template grid.
    subject : str
        Label of the participant.
    exclude_hyperintense : bool
        Where there is no lesion mask, take voxels that are too bright for one.
    seed : int
        Of the noise in filled lesions.

    Returns
    -------
    Healthy
        Arrays of shape (170, 204, 170).
    """
    volume = np.asarray(nib.load(paths.volume).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(paths.mask).dataobj) > 0
    lesions = np.zeros(mask.shape, dtype=bool)
    if paths.lesions is not None:
        lesions = np.asarray(nib.load(paths.lesions).dataobj) > 0
    elif exclude_hyperintense:
        lesions = hyperintense(volume, mask, z=HYPERINTENSE_Z)
    excluded = ndimage.binary_dilation(lesions, iterations=LESION_MARGIN) & mask
    filled = fill(volume, mask, excluded, np.random.default_rng(seed))
    return Healthy(subject, filled, mask, excluded)


def calibrate_on(
    scans: Sequence[Healthy],
    model: VAE,
    crop: Crop,
    detection: DetectionConfig,
    device: torch.device,
) -> Calibration:
    """Pool the residuals of held-out scans where they are healthy (docs/method.md, 8).

    Parameters
    ----------
    scans : sequence of Healthy
        Nobody who was trained on.
    model, crop, detection, device
        As detection will use them.

    Returns
    -------
    Calibration
        Counts participants, not scans.
    """
    residuals = []
    for item in scans:
        found = examine(item.volume, item.mask, model, crop, detection, device=device)
        residuals.append(found.anomaly_map[found.examined & ~item.excluded])
    return replace(calibrate(residuals), n_subjects=len({item.subject for item in scans}))
