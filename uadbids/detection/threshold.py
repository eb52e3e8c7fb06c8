"""Which threshold a detection uses, and where it comes from. Needs no torch."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast, get_args

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

    A threshold on the anomaly map is taken as it is; else it is calibrated for the false-positive
    rate that is given, or the model's, times the factor of a sensitivity (of `SENSITIVITY`). A kind
    of residual takes the place of the model's. The smallest volume is no part of the threshold, and
    taken so that all settings of a run can be checked in one go.

    Given are the kind of residual, the threshold, and where it came from in words. UsageError if
    the threshold asked for does not exist or the settings contradict each other.
    """
    kind = defaults.residual if residual is None else _residual_kind(residual)
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
    known = get_args(ResidualKind)
    if name not in known:
        raise UsageError(f"There is no residual {name!r}; choose one of {', '.join(known)}.")
    return cast(ResidualKind, name)
