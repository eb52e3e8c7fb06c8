"""A bundle turns a volume on the template grid into a detection."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from uadbids.detection.examine import Examination, examine
from uadbids.detection.postprocess import Bools, Floats, segment
from uadbids.detection.residuals import RESIDUALS
from uadbids.detection.threshold import choose_threshold
from uadbids.model.bundle import Bundle
from uadbids.model.config import ResidualKind
from uadbids.model.inference import resolve_device

SPACING = (1.0, 1.0, 1.0)
"""Of the template grid, mm."""


@dataclass(frozen=True)
class Detection:
    """What was found, on the template grid: arrays of shape (170, 204, 170)."""

    reconstruction: Floats  # see `Examination`
    anomaly_map: Floats  # see `Examination`
    # In [0, 1]: fraction of healthy voxels with a smaller residual; None when the residual is not
    # of the calibrated kind.
    score: Floats | None
    lesions: npt.NDArray[np.uint8]  # mask of the findings: 0 or 1
    examined: Bools  # where findings were looked for
    threshold: float  # on the anomaly map
    threshold_source: str  # where it came from, in words
    residual: ResidualKind
    min_volume_mm3: float  # smallest finding


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
    within: Bools | None = None,
) -> Detection:
    """Find what a healthy brain would not show (paper, sections 2.1 and 3).

    The volume is a preprocessed FLAIR on the template grid, (170, 204, 170), scaled as the bundle's
    card says; of its shape are the brain mask, non-zero inside, and `within`, which findings must
    lie in, too. The bundle is on the device. For what is asked for of the threshold see
    `choose_threshold`; what is None is as the card says.

    UsageError if the threshold asked for does not exist or the options contradict each other,
    ScanError if the volume holds nothing that can be examined, DeviceError without the device.
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
    """Turn a map into a mask of findings, as its kind of residual asks (`postprocess.segment`)."""
    return segment(
        found.anomaly_map,
        found.examined,
        threshold=threshold,
        min_volume_mm3=min_volume_mm3,
        spacing=SPACING,
        boundary=RESIDUALS[kind].boundary,
    )
