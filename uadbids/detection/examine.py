"""What a model says of a volume, before any threshold."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from uadbids.detection.erosion import examined_part
from uadbids.detection.postprocess import Bools, Floats
from uadbids.detection.reader import ReaderScan, lesion_probability
from uadbids.detection.residuals import RESIDUALS, mean_absolute_error
from uadbids.detection.residuals import residual as take_residual
from uadbids.errors import ScanError, UsageError
from uadbids.model.config import DetectionConfig, ResidualKind
from uadbids.model.grid import TEMPLATE_SHAPE, Crop
from uadbids.model.inference import reconstruct
from uadbids.model.reader import Reader
from uadbids.model.vae import VAE
from uadbids.preproc.template import Template

NORMAL_SHARE = 0.5
"""Of the brightness of normal grey matter that is expected of every scan (docs/method.md, 13)."""


class Examination(NamedTuple):
    """What a model says of a volume before any threshold, on the volume's grid (X, Y, Z)."""

    reconstruction: Floats  # in [0, 1]; 0 outside the crop and the brain
    anomaly_map: Floats  # residual; 0 outside the crop and the brain
    examined: Bools  # eroded brain inside the crop: where findings are looked for


def examine(
    volume: npt.NDArray[np.floating],
    mask: npt.NDArray[np.generic],
    model: VAE,
    crop: Crop,
    settings: DetectionConfig,
    *,
    device: torch.device,
    kind: ResidualKind | None = None,
    reader: Reader | None = None,
) -> Examination:
    """Reconstruct and take the residual; calibration and detection share this path.

    The volume is a preprocessed FLAIR in [0, 1] on a 1 mm grid, (X, Y, Z), as is the brain mask.
    Model and reader are in evaluation mode, on the device; `crop` is what the model sees of the
    grid. The settings' kind of residual is taken unless another is given.

    UsageError if the kind needs a reader and there is none; ScanError if volume and mask differ in
    shape, values are not finite, or no brain is in the crop.
    """
    brain = mask != 0
    _check(volume, brain, crop)
    shape = volume.shape
    whole = np.where(brain, volume, 0.0).astype(np.float32)
    seen = crop.apply(whole)
    inside = crop.apply(brain)
    rebuilt = reconstruct(model, seen, device) * inside
    kind = kind or settings.residual
    if RESIDUALS[kind].needs_reader:
        return _read(whole, crop.restore(rebuilt, shape), brain, crop, settings, device, reader)
    examined = examined_part(brain, settings.erosion_mm, crop)
    difference = take_residual(
        seen,
        rebuilt,
        inside,
        kind,
        settings.smoothing_mm,
        examined=crop.apply(examined),
        normal=crop.apply(_normal(shape)) if RESIDUALS[kind].needs_place else None,
    )
    return Examination(crop.restore(rebuilt, shape), crop.restore(difference, shape), examined)


def _read(
    volume: Floats,
    rebuilt: Floats,
    brain: Bools,
    crop: Crop,
    settings: DetectionConfig,
    device: torch.device,
    reader: Reader | None,
) -> Examination:
    """Have the reader look at the whole brain."""
    if reader is None:
        raise UsageError(
            "This model has no reader; give another residual with its threshold, or a model that "
            "has one."
        )
    normal = _normal(brain.shape)
    # The reader learnt from all of what is normal, the map expects half of it.
    scan = ReaderScan(volume, rebuilt, brain, crop, normal / NORMAL_SHARE)
    examined = examined_part(brain, settings.erosion_mm, None)
    anomaly_map = take_residual(
        volume,
        rebuilt,
        brain,
        "reader",
        settings.smoothing_mm,
        examined=examined,
        normal=normal,
        probability=lesion_probability(reader, scan, device),
    )
    return Examination(rebuilt, anomaly_map, examined)


def reconstruction_error(
    volume: npt.NDArray[np.floating],
    reconstruction: npt.NDArray[np.floating],
    mask: npt.NDArray[np.generic],
    left_out: npt.NDArray[np.generic],
    crop: Crop,
) -> float:
    """Measure how well a model rebuilds what it does not call abnormal.

    The mean absolute error in units of the scaled intensity, in the part of the brain that the
    model sees; NaN where nothing is left. Findings and known lesions, where `left_out` is not zero,
    do not count. Arrays have the shape (X, Y, Z).
    """
    within = crop.mask(volume.shape) & (mask != 0) & (left_out == 0)
    return mean_absolute_error(volume, reconstruction, within)


@lru_cache(maxsize=1)
def _normal(shape: tuple[int, ...]) -> Floats:
    """Robust z that is expected at each place: known on the template grid alone."""
    if shape != TEMPLATE_SHAPE:
        return np.zeros(shape, dtype=np.float32)
    return (NORMAL_SHARE * Template.packaged().normal_brightness()).astype(np.float32)


def _check(volume: npt.NDArray[np.floating], brain: Bools, crop: Crop) -> None:
    if volume.ndim != 3 or volume.shape != brain.shape:
        raise ScanError(
            f"The volume {volume.shape} and its brain mask {brain.shape} are not on one 3D grid; "
            "make the mask again from this scan."
        )
    if not np.isfinite(volume[brain]).all():
        raise ScanError("The volume has values that are not numbers; repair the scan.")
    if not crop.apply(brain).any():
        raise ScanError(
            "No brain voxel lies in the part of the template that the model sees; look at the "
            "brain mask and at the registration."
        )
