"""A bundle turns a volume on the template grid into a detection."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from uadbids.detection.postprocess import examined_part, segment
from uadbids.detection.reader import ReaderScan, lesion_probability
from uadbids.detection.residuals import RESIDUALS, mean_absolute_error
from uadbids.detection.residuals import residual as take_residual
from uadbids.detection.threshold import choose_threshold
from uadbids.errors import ScanError, UsageError
from uadbids.model.bundle import Bundle, DetectionConfig
from uadbids.model.config import ResidualKind
from uadbids.model.grid import TEMPLATE_SHAPE, Crop
from uadbids.model.inference import reconstruct, resolve_device
from uadbids.model.reader import Reader
from uadbids.model.vae import VAE
from uadbids.preproc.template import Template

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

SPACING = (1.0, 1.0, 1.0)
"""Of the template grid, mm."""
NORMAL_SHARE = 0.5
"""Of the brightness of normal grey matter that is expected of every scan (docs/method.md, 13)."""


class Examination(NamedTuple):
    """What a model says of a volume before any threshold, on the volume's grid.

    Attributes
    ----------
    reconstruction : ndarray of float32, shape (X, Y, Z)
        In [0, 1]; 0 outside the crop and the brain.
    anomaly_map : ndarray of float32, shape (X, Y, Z)
        Residual; 0 outside the crop and the brain.
    examined : ndarray of bool, shape (X, Y, Z)
        Eroded brain inside the crop: where findings are looked for.
    """

    reconstruction: Floats
    anomaly_map: Floats
    examined: Bools


@dataclass(frozen=True)
class Detection:
    """What was found, on the template grid.

    Attributes
    ----------
    reconstruction, anomaly_map : ndarray of float32, shape (170, 204, 170)
        See `Examination`.
    score : ndarray of float32 in [0, 1], or None
        Fraction of healthy voxels with a smaller residual; None when the residual is not of
        the calibrated kind.
    lesions : ndarray of uint8, shape (170, 204, 170)
        Mask of the findings: 0 or 1.
    examined : ndarray of bool, shape (170, 204, 170)
        Where findings were looked for.
    threshold : float
        On the anomaly map.
    threshold_source : str
        Where it came from, in words.
    residual : str
        Kind of residual.
    min_volume_mm3 : float
        Smallest finding.
    """

    reconstruction: Floats
    anomaly_map: Floats
    score: Floats | None
    lesions: npt.NDArray[np.uint8]
    examined: Bools
    threshold: float
    threshold_source: str
    residual: ResidualKind
    min_volume_mm3: float


def detect(
    volume: npt.NDArray[np.floating],
    mask: npt.NDArray[np.generic],
    bundle: Bundle,
    *,
    device: str | torch.device,
    threshold: float | None = None,
    false_positive_rate: float | None = None,
    residual: ResidualKind | None = None,
    min_volume_mm3: float | None = None,
) -> Detection:
    """Find what a healthy brain would not show (paper, sections 2.1 and 3).

    Parameters
    ----------
    volume : ndarray, shape (170, 204, 170)
        Preprocessed FLAIR on the template grid, scaled as the bundle's card says.
    mask : ndarray, shape (170, 204, 170)
        Brain: non-zero inside.
    bundle : Bundle
        The model, on ``device``.
    device : str or torch.device
        Where to compute.
    threshold : float, optional
        On the anomaly map; else calibrated.
    false_positive_rate : float, optional
        For the calibrated threshold; else the card's.
    residual : str, optional
        One of `residuals.RESIDUALS`; else the card's.
    min_volume_mm3 : float, optional
        Smallest finding; else the card's.

    Returns
    -------
    Detection
        Maps and findings on the grid of the volume.

    Raises
    ------
    UsageError
        If the threshold asked for does not exist or the options contradict each other.
    ScanError
        If the volume holds nothing that can be examined.
    DeviceError
        If the device is not there.
    """
    card = bundle.card
    kind, limit, source = choose_threshold(
        bundle.calibration,
        card.detection,
        threshold=threshold,
        false_positive_rate=false_positive_rate,
        residual=residual,
    )
    place = resolve_device(device) if isinstance(device, str) else device
    found = examine(
        volume, mask, bundle.model, card.crop, card.detection,
        device=place, kind=kind, reader=bundle.reader,
    )  # fmt: skip
    smallest = card.detection.min_volume_mm3 if min_volume_mm3 is None else min_volume_mm3
    lesions = cut(found, limit, kind, smallest)
    score = None
    if kind == card.detection.residual:
        seen = mask != 0
        if not RESIDUALS[kind].needs_reader:
            seen &= card.crop.mask(_shape(volume))
        score = np.zeros(volume.shape, dtype=np.float32)
        score[seen] = bundle.calibration.score(found.anomaly_map[seen])
    return Detection(
        reconstruction=found.reconstruction,
        anomaly_map=found.anomaly_map,
        score=score,
        lesions=lesions,
        examined=found.examined,
        threshold=limit,
        threshold_source=source,
        residual=kind,
        min_volume_mm3=smallest,
    )


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

    Parameters
    ----------
    volume, mask : ndarray, shape (X, Y, Z)
        Preprocessed FLAIR in [0, 1] and brain on a 1 mm grid.
    model : VAE
        In evaluation mode, on ``device``.
    crop : Crop
        What the model sees of the grid.
    settings : DetectionConfig
        Smoothing, erosion and kind of residual.
    device : torch.device
        Where to compute.
    kind : str, optional
        Another kind of residual.
    reader : Reader, optional
        For the kind that needs it; in evaluation mode, on ``device``.

    Returns
    -------
    Examination
        On the grid of the volume.

    Raises
    ------
    UsageError
        If the kind needs a reader and there is none.
    ScanError
        If volume and mask differ in shape, values are not finite, or no brain is in the crop.
    """
    brain = mask != 0
    _check(volume, brain, crop)
    shape = _shape(volume)
    seen = crop.apply(np.where(brain, volume, 0.0).astype(np.float32))
    inside = crop.apply(brain)
    rebuilt = reconstruct(model, seen, device) * inside
    kind = kind or settings.residual
    if RESIDUALS[kind].needs_reader:
        whole = crop.restore(rebuilt, shape)
        return _read(np.where(brain, volume, 0.0), whole, brain, crop, settings, device, reader)
    examined = examined_part(brain, settings.erosion_mm, crop)
    knows_place = RESIDUALS[kind].needs_place and shape == TEMPLATE_SHAPE
    difference = take_residual(
        seen,
        rebuilt,
        inside,
        kind,
        settings.smoothing_mm,
        examined=crop.apply(examined),
        normal=crop.apply(_normal()) if knows_place else None,
    )
    return Examination(crop.restore(rebuilt, shape), crop.restore(difference, shape), examined)


def _read(
    volume: npt.NDArray[np.floating],
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
    knows_place = brain.shape == TEMPLATE_SHAPE
    normal = _normal() if knows_place else np.zeros(brain.shape, dtype=np.float32)
    # The reader learnt from all of what is normal, the map expects half of it.
    scan = ReaderScan(volume.astype(np.float32), rebuilt, brain, crop, normal / NORMAL_SHARE)
    examined = examined_part(brain, settings.erosion_mm, None)
    anomaly_map = take_residual(
        scan.volume,
        rebuilt,
        brain,
        "reader",
        settings.smoothing_mm,
        examined=examined,
        normal=normal,
        probability=lesion_probability(reader, scan, device),
    )
    return Examination(rebuilt, anomaly_map, examined)


def cut(
    found: Examination, threshold: float, kind: ResidualKind, min_volume_mm3: float
) -> npt.NDArray[np.uint8]:
    """Turn a map into findings, as its kind of residual asks (`postprocess.segment`).

    Returns
    -------
    ndarray of uint8, shape (X, Y, Z)
        0 or 1, on the grid of the map.
    """
    return segment(
        found.anomaly_map,
        found.examined,
        threshold=threshold,
        min_volume_mm3=min_volume_mm3,
        spacing=SPACING,
        boundary=RESIDUALS[kind].boundary,
    )


def reconstruction_error(
    volume: npt.NDArray[np.floating],
    reconstruction: npt.NDArray[np.floating],
    mask: npt.NDArray[np.generic],
    left_out: npt.NDArray[np.generic],
    crop: Crop,
) -> float:
    """Measure how well a model rebuilds what it does not call abnormal.

    Parameters
    ----------
    volume, reconstruction, mask : ndarray, shape (X, Y, Z)
        Input, `Examination.reconstruction` and brain.
    left_out : ndarray, shape (X, Y, Z)
        Non-zero in findings and known lesions.
    crop : Crop
        What the model sees.

    Returns
    -------
    float
        Mean absolute error in units of the scaled intensity; NaN where nothing is left.
    """
    within = crop.mask(_shape(volume)) & (mask != 0) & (left_out == 0)
    return mean_absolute_error(volume, reconstruction, within)


@lru_cache(maxsize=1)
def _normal() -> Floats:
    normal = NORMAL_SHARE * Template.packaged().normal_brightness()
    return normal.astype(np.float32)


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


def _shape(volume: npt.NDArray[np.floating]) -> tuple[int, int, int]:
    x, y, z = volume.shape
    return x, y, z
