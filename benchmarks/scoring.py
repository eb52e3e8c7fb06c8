"""Score a way of making maps on the development cases, at thresholds that need no label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from cases import HEALTHY, Case

from uadbids.detection.detect import cut
from uadbids.detection.examine import Examination
from uadbids.evaluation.metrics import average_precision, dice
from uadbids.model.calibration import Calibration, calibrate
from uadbids.model.config import DetectionConfig
from uadbids.training.healthy import Healthy

SPACING = (1.0, 1.0, 1.0)

Examine = Callable[[np.ndarray, np.ndarray], Examination]
Row = dict[str, float]


def measure(
    examine: Examine,
    held_out: Sequence[Healthy],
    cases: Sequence[Case],
    settings: DetectionConfig,
    *,
    rates: Sequence[float],
    oracle: bool = False,
) -> dict[str, Row]:
    """Mean Dice and average precision by set; millilitres that are marked where all looks healthy.

    The threshold of a false-positive rate comes from the held-out healthy scans, by the same way
    of making maps. The oracle is the best single threshold of a set, found on its own labels.
    """
    calibration = calibration_of(examine, held_out)
    cuts = [calibration.threshold(rate) for rate in rates]
    rows: dict[str, Row] = {}
    for group in dict.fromkeys(case.group for case in cases):
        members = [case for case in cases if case.group == group]
        exams = [examine(case.volume, case.mask) for case in members]
        rows[group] = row = {"cases": float(len(members))}
        for rate, limit in zip(rates, cuts, strict=True):
            found = [lesions_of(exam, limit, settings) for exam in exams]
            if group == HEALTHY:
                row[f"false-positive ml at {rate:g}"] = mean(f.sum() / 1000 for f in found)
            else:
                row[f"Dice at {rate:g}"] = _mean_dice(found, members)
        if group == HEALTHY:
            continue
        if oracle:
            pooled = np.concatenate([exam.anomaly_map[exam.examined][::50] for exam in exams])
            grid = [*cuts, *np.quantile(pooled, 1 - np.logspace(-3.3, -0.9, 12))]
            row["Dice, oracle"] = max(
                _mean_dice([lesions_of(exam, limit, settings) for exam in exams], members)
                for limit in grid
            )
        row["average precision"] = mean(
            average_precision(exam.anomaly_map[case.mask], case.lesions[case.mask])
            for exam, case in zip(exams, members, strict=True)
        )
    return rows


def mean(values: Iterable[float]) -> float:
    """Mean of any iterable."""
    return float(np.mean(list(values)))


def print_tables(results: dict[str, dict[str, Row]]) -> None:
    """Print Markdown: one table a set, one row a method."""
    first = next(iter(results.values()))
    for group, columns in first.items():
        print(f"\n### {group}: {int(columns['cases'])} cases\n")
        names = [name for name in columns if name != "cases"]
        print("| method | " + " | ".join(names) + " |")
        print("|---" * (len(names) + 1) + "|")
        for method, rows in results.items():
            print(f"| {method} | " + " | ".join(f"{rows[group][n]:.3f}" for n in names) + " |")


def _healthy(exam: Examination, scan: Healthy) -> np.ndarray:
    return exam.anomaly_map[exam.examined & ~scan.excluded]


def calibration_of(examine: Examine, held_out: Sequence[Healthy]) -> Calibration:
    """Healthy residuals of the held-out scans by a way of making maps."""
    return calibrate([_healthy(examine(scan.volume, scan.mask), scan) for scan in held_out])


def lesions_of(exam: Examination, threshold: float, settings: DetectionConfig) -> np.ndarray:
    """Cut a map as the product does with the residual of the settings."""
    return cut(exam, threshold, settings.residual, settings.min_volume_mm3) > 0


def _mean_dice(found: Sequence[np.ndarray], members: Sequence[Case]) -> float:
    return mean(dice(f, case.lesions) for f, case in zip(found, members, strict=True))
