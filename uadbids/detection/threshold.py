"""Which threshold a detection uses, and where it comes from. Needs no torch."""

import math
from typing import get_args

from uadbids.errors import UsageError
from uadbids.model.calibration import Calibration
from uadbids.model.config import DetectionConfig, ResidualKind


def choose_threshold(
    calibration: Calibration,
    defaults: DetectionConfig,
    *,
    threshold: float | None = None,
    false_positive_rate: float | None = None,
    residual: str | None = None,
    min_volume_mm3: float | None = None,
) -> tuple[ResidualKind, float, str]:
    """Join what the user wants with what a model is calibrated for.

    Parameters
    ----------
    calibration, defaults
        Of the model.
    threshold : float, optional
        On the anomaly map; else calibrated.
    false_positive_rate : float, optional
        For the calibrated threshold; else the model's.
    residual : str, optional
        Kind of residual; else the model's.
    min_volume_mm3 : float, optional
        No part of the threshold; taken so that all settings of a run can be checked in one go.

    Returns
    -------
    str, float, str
        Kind of residual, threshold, and where it came from in words.

    Raises
    ------
    UsageError
        If the threshold asked for does not exist or the settings contradict each other.
    """
    kind: ResidualKind = defaults.residual
    if residual is not None:
        kind = _residual_kind(residual)
    if threshold is not None:
        if false_positive_rate is not None:
            raise UsageError("Give either a threshold or a false-positive rate, not both.")
        if not math.isfinite(threshold):
            raise UsageError(f"The threshold {threshold} is not a finite number.")
        return kind, threshold, "given by the user"
    if kind != defaults.residual:
        raise UsageError(
            f"The model is calibrated for {defaults.residual} residuals; with {kind} residuals "
            "give a threshold too."
        )
    rate = defaults.false_positive_rate if false_positive_rate is None else false_positive_rate
    origin = "the model's default" if false_positive_rate is None else "given by the user"
    source = (
        f"false-positive rate of {rate:g} ({origin}) on the voxels of "
        f"{calibration.n_subjects} held-out subjects"
    )
    return kind, calibration.threshold(rate), source


def _residual_kind(name: str) -> ResidualKind:
    known: tuple[ResidualKind, ...] = get_args(ResidualKind)
    if name in known:
        return known[known.index(name)]
    raise UsageError(f"There is no residual {name!r}; choose one of {', '.join(known)}.")
