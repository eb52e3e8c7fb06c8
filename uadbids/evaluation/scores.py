"""The figures of one scan against one reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uadbids.detection.postprocess import Spacing
from uadbids.detection.residuals import mean_absolute_error
from uadbids.evaluation.cases import Case
from uadbids.evaluation.methods import Method
from uadbids.evaluation.metrics import (
    confusion,
    false_positive_ml,
    hausdorff95,
    lesion_wise,
    precision_recall,
    prevalence,
    volume_ml,
)
from uadbids.evaluation.thresholds import LABEL_FREE, Plan

DRAWN = "by hand"
RECALLS = np.linspace(0.01, 1.0, 100)
"""Where a curve of precision against recall is kept for the figure."""

Row = dict[str, Any]


class Curve(NamedTuple):
    """Precision at `RECALLS` of one method on one scan."""

    reference: str
    method: str
    precision: np.ndarray


def score_case(
    case: Case, methods: Sequence[Method], plans: Sequence[Plan]
) -> tuple[list[Row], list[Curve]]:
    """Measure every method on one scan.

    Parameters
    ----------
    case : Case
        The scan.
    methods : sequence of Method
        What is compared.
    plans : sequence of Plan
        Thresholds; those without this scan are passed over.

    Returns
    -------
    list of dict
        Rows of the table, one for each reference, method and kind of threshold, and one for each
        pair of people who drew.
    list of Curve
        One for each reference and method.
    """
    rows: list[Row] = []
    curves: list[Curve] = []
    about = {
        "participant_id": f"sub-{case.scan.subject}",
        "session_id": f"ses-{case.scan.session}" if case.scan.session else None,
        "scan": case.scan.name,
    }
    for method in methods:
        scores = _scores(case, method)
        if scores is None:
            continue
        for reference, truth in case.references.items():
            quality, curve = _map_figures(scores, truth, case.brain | truth)
            curves.append(Curve(reference, method.name, curve))
            extra = {**about, **quality, **_examined(case, reference)}
            if method.is_model or method.in_intensity:
                extra |= _rebuilding(case, reference)
            wanted = [p for p in plans if (p.reference, p.method) == (reference, method.name)]
            for plan, found in _lesions(case, method, wanted):
                rows.append(
                    {
                        "reference": reference,
                        "method": method.name,
                        "threshold_kind": plan.kind,
                        "threshold": plan.thresholds[case.scan.name],
                        **_mask_figures(found, truth, case.brain, case.spacing),
                        **extra,
                    }
                )
    return rows + [{**about, **row} for row in _agreement(case)], curves


def _scores(case: Case, method: Method) -> np.ndarray | None:
    """Map on the grid of the evaluation, lowest where nobody looks: the same for all methods."""
    if case.side is None:
        return case.anomaly if method.is_model else None
    carried = case.anomaly if method.is_model else case.values(method.scores(case.side))
    lowest = float(carried.min()) - 1.0
    return np.where(case.labels(case.side.examined), carried, np.float32(lowest))


def _lesions(
    case: Case, method: Method, plans: Sequence[Plan]
) -> Iterator[tuple[Plan, np.ndarray]]:
    on_template = None
    for plan in plans:
        threshold = plan.thresholds.get(case.scan.name)
        if threshold is None:
            continue
        if plan.kind == LABEL_FREE and method.is_model:
            yield plan, case.found
        elif case.side is not None:
            on_template = method.scores(case.side) if on_template is None else on_template
            yield plan, case.labels(case.side.lesions(on_template, threshold, method.boundary))


def _mask_figures(found: np.ndarray, truth: np.ndarray, brain: np.ndarray, mm: Spacing) -> Row:
    inside, image = confusion(found, truth, brain | truth), confusion(found, truth)
    lesions = lesion_wise(found, truth)
    true_ml, found_ml = volume_ml(truth, mm), volume_ml(found, mm)
    return {
        "dice": image.dice,
        "sensitivity": image.sensitivity,
        "specificity": inside.specificity,
        "specificity_image": image.specificity,
        "precision": image.precision,
        "lesions": lesions.n_true,
        "lesions_found": lesions.n_hit,
        "findings": lesions.n_found,
        "findings_right": lesions.n_right,
        "lesion_recall": lesions.recall,
        "lesion_precision": lesions.precision,
        "lesion_f1": lesions.f1,
        "hd95_mm": hausdorff95(found, truth, mm),
        "lesion_volume_ml": true_ml,
        "found_volume_ml": found_ml,
        "volume_error_ml": found_ml - true_ml,
        "false_positive_ml": false_positive_ml(found, truth, mm),
    }


def _map_figures(
    scores: np.ndarray, truth: np.ndarray, within: np.ndarray
) -> tuple[Row, np.ndarray]:
    recall, precision = precision_recall(scores[within], truth[within])
    if not recall.size:
        return {"average_precision": math.nan, "prevalence": 0.0}, np.full(RECALLS.size, math.nan)
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    # The precision at which a recall is reached first; the last recall is 1 but for rounding.
    reached = np.minimum(np.searchsorted(recall, RECALLS), recall.size - 1)
    figures = {"average_precision": area, "prevalence": prevalence(truth, within)}
    return figures, precision[reached]


def _rebuilding(case: Case, reference: str) -> Row:
    """Tell how well the model rebuilds the brain, and its healthy and its ill part."""
    if case.side is None:
        return {}
    side, truth = case.side, case.on_template[reference]
    parts: Mapping[str, np.ndarray] = {
        "mae_brain": side.seen,
        "mae_healthy": side.seen & ~truth,
        "mae_lesion": side.seen & truth,
    }
    return {
        name: mean_absolute_error(side.volume, side.reconstruction, part)
        for name, part in parts.items()
    }


def _examined(case: Case, reference: str) -> Row:
    """Tell which share of the lesions lies where they are looked for."""
    if case.side is None:
        return {}
    truth = case.on_template[reference]
    lesion = int(np.count_nonzero(truth))
    examined = int(np.count_nonzero(truth & case.side.examined))
    return {"lesion_examined": examined / lesion if lesion else math.nan}


def _agreement(case: Case) -> Iterator[Row]:
    """Compare people with each other: what a method can be asked for at most."""
    names = list(case.references)
    for place, reference in enumerate(names):
        for other in names[place + 1 :]:
            found, truth = case.references[other], case.references[reference]
            figures = _mask_figures(found, truth, case.brain, case.spacing)
            yield {"reference": reference, "method": other, "threshold_kind": DRAWN, **figures}
