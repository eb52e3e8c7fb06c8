"""Which threshold a detection uses, and where it comes from. Needs no torch."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from uadbids.errors import UsageError
from uadbids.model.calibration import Calibration
from uadbids.model.config import DetectionConfig, ResidualKind

SENSITIVITY: Mapping[str, float] = MappingProxyType({"low": 0.5, "default": 1.0, "high": 1.5})
"""Factors on a model's false-positive rate."""


def choose_threshold(
    calibration: Calibration,
    defaults: DetectionConfig,
    *,
    threshold: float | None = None,
    false_positive_rate: float | None = None,
    sensitivity: str | None = None,
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
    sensitivity : str, optional
        One of `SENSITIVITY`: a multiple of the model's false-positive rate.
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
    if sum(given is not None for given in (threshold, false_positive_rate, sensitivity)) > 1:
        raise UsageError("Give one of threshold, false-positive rate and sensitivity, not more.")
    if sensitivity is not None and sensitivity not in SENSITIVITY:
        raise UsageError(
            f"There is no sensitivity {sensitivity!r}; choose one of {', '.join(SENSITIVITY)}."
        )
    if threshold is not None:
        if not math.isfinite(threshold):
            raise UsageError(f"The threshold {threshold} is not a finite number.")
        return kind, threshold, "given by the user"
    if kind != defaults.residual:
        raise UsageError(
            f"The model is calibrated for {defaults.residual} residuals; with {kind} residuals "
            "give a threshold too."
        )
    if false_positive_rate is not None:
        rate, origin = false_positive_rate, "given by the user"
    else:
        chosen = sensitivity or "default"
        rate = defaults.false_positive_rate * SENSITIVITY[chosen]
        origin = "the model's default" if chosen == "default" else f"{chosen} sensitivity"
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
