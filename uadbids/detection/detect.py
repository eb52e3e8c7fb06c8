"""A bundle turns a volume on the template grid into a detection."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from uadbids.detection.examine import Examination, examine
from uadbids.detection.postprocess import segment
from uadbids.detection.residuals import RESIDUALS
from uadbids.detection.threshold import choose_threshold
from uadbids.model.bundle import Bundle
from uadbids.model.config import ResidualKind
from uadbids.model.inference import resolve_device

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

SPACING = (1.0, 1.0, 1.0)
"""Of the template grid, mm."""


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
    sensitivity: str | None = None,
    residual: ResidualKind | None = None,
    min_volume_mm3: float | None = None,
    within: npt.NDArray[np.bool_] | None = None,
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
    sensitivity : str, optional
        One of `threshold.SENSITIVITY`, instead.
    residual : str, optional
        One of `residuals.RESIDUALS`; else the card's.
    min_volume_mm3 : float, optional
        Smallest finding; else the card's.
    within : ndarray of bool, shape (170, 204, 170), optional
        Where findings may be, besides in the brain.

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
        sensitivity=sensitivity,
        residual=residual,
    )
    place = resolve_device(device) if isinstance(device, str) else device
    found = examine(
        volume, mask, bundle.model, card.crop, card.detection,
        device=place, kind=kind, reader=bundle.reader,
    )  # fmt: skip
    if within is not None:
        found = found._replace(examined=found.examined & within)
    smallest = card.detection.min_volume_mm3 if min_volume_mm3 is None else min_volume_mm3
    lesions = cut(found, limit, kind, smallest)
    score = None
    if kind == card.detection.residual:
        seen = mask != 0
        if not RESIDUALS[kind].needs_reader:
            seen &= card.crop.mask(found.examined.shape)
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
