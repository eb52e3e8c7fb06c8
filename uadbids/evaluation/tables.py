"""From the figures of scans to the tables of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from uadbids.evaluation.scores import DRAWN, Row
from uadbids.evaluation.statistics import (
    bootstrap_interval,
    correlation,
    paired_test,
    subject_means,
    tertiles,
)
from uadbids.evaluation.thresholds import HALVES, KINDS, PAPER, Plan

THIRDS = ("small", "medium", "large")
_KINDS = "; ".join(f"{kind}: {text}" for kind, text in KINDS.items())

COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session"},
    "scan": {"Description": "Scan, by the entities in its name"},
    "reference": {"Description": "Mask that counts as true, by the entities that name it"},
    "method": {"Description": "What was compared with it"},
    "threshold_kind": {
        "Description": f"How the threshold was found. {_KINDS}; {DRAWN}: another person's mask"
    },
    "threshold": {"Description": "On the map of the method, in its own unit"},
    "dice": {"Description": "Dice coefficient; 1 where both masks are empty"},
    "sensitivity": {"Description": "Share of the lesion voxels that were found"},
    "specificity": {"Description": "Share of the other voxels of the brain that were left alone"},
    "specificity_image": {
        "Description": "The same over the whole image, background too: higher, as in the paper"
    },
    "precision": {"Description": "Share of the found voxels that are lesion"},
    "average_precision": {
        "Description": "Area under the precision-recall curve over the voxels of the brain; of "
        "the map, so the same for every threshold"
    },
    "prevalence": {"Description": "Share of lesion in the brain: average precision of chance"},
    "lesions": {"Description": "Lesions: 26-connected components"},
    "lesions_found": {"Description": "Lesions of which a voxel was found"},
    "findings": {"Description": "Components that were found"},
    "findings_right": {"Description": "Of these, how many share a voxel with a lesion"},
    "lesion_recall": {"Description": "lesions_found / lesions"},
    "lesion_precision": {"Description": "findings_right / findings"},
    "lesion_f1": {"Description": "Harmonic mean of the two"},
    "hd95_mm": {
        "Description": "Distance of the surfaces, 95th percentile, the larger of both directions; "
        "n/a where a mask is empty",
        "Units": "mm",
    },
    "lesion_volume_ml": {"Description": "Volume of the lesions", "Units": "mL"},
    "found_volume_ml": {"Description": "Volume that was found", "Units": "mL"},
    "volume_error_ml": {"Description": "Found minus true volume", "Units": "mL"},
    "false_positive_ml": {"Description": "Volume found that is no lesion", "Units": "mL"},
    "lesion_examined": {
        "Description": "Share of the lesion that lies where the model looks: in its crop and in "
        "the eroded brain mask; what lies elsewhere counts as missed on the scan's grid"
    },
    "mae_brain": {
        "Description": "Mean absolute error of the reconstruction in the brain, model only"
    },
    "mae_healthy": {"Description": "The same outside the lesions"},
    "mae_lesion": {"Description": "The same inside the lesions"},
    "lesion_third": {
        "Description": "Third of the scans with lesions, by lesion volume; n/a with fewer than 3",
        "Levels": dict.fromkeys(THIRDS, "third of the scans"),
    },
}
_AVERAGED = (
    "sensitivity", "specificity", "specificity_image", "precision", "average_precision",
    "prevalence", "lesion_recall", "lesion_precision", "lesion_f1", "hd95_mm", "lesion_volume_ml",
    "volume_error_ml", "false_positive_ml", "lesion_examined", "mae_brain", "mae_healthy",
    "mae_lesion",
)  # fmt: skip
SUMMARY_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    **{name: COLUMNS[name] for name in ("reference", "method", "threshold_kind")},
    "scans": {"Description": "Number of scans"},
    "participants": {"Description": "Number of participants"},
    "threshold": {"Description": "Mean threshold over the scans"},
    "at_edge": {"Description": "Whether the best threshold was the first or last of those tried"},
    "dice": {"Description": "Mean Dice over the scans"},
    "dice_sd": {"Description": "Standard deviation over the scans (n - 1)"},
    "dice_low": {"Description": "95 % bootstrap interval over participants, lower bound"},
    "dice_high": {"Description": "Its upper bound"},
    "compared_with": {
        "Description": "Best baseline: the highest mean Dice at thresholds of the same kind "
        f"({HALVES} for {PAPER})"
    },
    "difference": {"Description": "Mean Dice of the participants minus that of this baseline"},
    "p_value": {
        "Description": "Sign-flip permutation test of the difference, two-sided, by participant; "
        "not corrected for several tests"
    },
    **{name: {**COLUMNS[name], "Description": f"Mean of {name} over the scans that have it"}
       for name in _AVERAGED},
    "volume_correlation": {"Description": "Pearson correlation of found and true volume"},
    **{f"dice_{third}": {"Description": f"Mean Dice of the third with {third} lesion volumes"}
       for third in THIRDS},
}  # fmt: skip


def add_thirds(rows: Sequence[Row]) -> list[Row]:
    """Put each scan with lesions into a third by lesion volume, for each reference."""
    volumes: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["lesion_volume_ml"] > 0:
            volumes.setdefault(row["reference"], {})[row["scan"]] = row["lesion_volume_ml"]
    thirds = {
        (reference, scan): THIRDS[third]
        for reference, known in volumes.items()
        if len(known) >= len(THIRDS)
        for scan, third in zip(known, tertiles(list(known.values())), strict=True)
    }
    return [{**row, "lesion_third": thirds.get((row["reference"], row["scan"]))} for row in rows]


def summarise(
    rows: Sequence[Row], plans: Sequence[Plan], model: str, baselines: Collection[str], seed: int
) -> list[dict[str, Any]]:
    """Make one row of each reference, method and kind of threshold.

    Parameters
    ----------
    rows : sequence of dict
        Of `add_thirds`.
    plans : sequence of Plan
        Tell whose best threshold was at an edge, and the order of the rows.
    model : str
        Name of the method that is compared with the baselines.
    baselines : collection of str
        Their names.
    seed : int
        Of bootstrap and permutations.

    Returns
    -------
    list of dict
        Columns of `SUMMARY_COLUMNS`.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {
        (plan.reference, plan.method, plan.kind): [] for plan in plans
    }
    for row in rows:
        groups.setdefault((row["reference"], row["method"], row["threshold_kind"]), []).append(row)
    edges = {(plan.reference, plan.method, plan.kind): plan.at_edge for plan in plans}
    summary = []
    for key, members in groups.items():
        if members:
            line = {**_line(members, seed), "at_edge": _words(edges.get(key))}
            compared = _compared(key, groups, baselines, seed) if key[1] == model else {}
            summary.append(line | compared)
    return summary


def _line(members: Sequence[Row], seed: int) -> dict[str, Any]:
    dices = [row["dice"] for row in members]
    interval = bootstrap_interval(dices, [row["participant_id"] for row in members], seed=seed)
    thirds = {
        f"dice_{third}": _mean([row["dice"] for row in members if row["lesion_third"] == third])
        for third in THIRDS
    }
    return {
        **{name: members[0][name] for name in ("reference", "method", "threshold_kind")},
        "scans": len(members),
        "participants": len({row["participant_id"] for row in members}),
        "threshold": _mean([row.get("threshold", math.nan) for row in members]),
        "dice": interval.mean,
        "dice_sd": float(np.std(dices, ddof=1)) if len(dices) > 1 else math.nan,
        "dice_low": interval.low,
        "dice_high": interval.high,
        **{name: _mean([row.get(name, math.nan) for row in members]) for name in _AVERAGED},
        "volume_correlation": correlation(
            [row["lesion_volume_ml"] for row in members],
            [row["found_volume_ml"] for row in members],
        ),
        **thirds,
    }


def _compared(
    key: tuple[str, str, str],
    groups: Mapping[tuple[str, str, str], Sequence[Row]],
    baselines: Collection[str],
    seed: int,
) -> dict[str, Any]:
    """Compare the model with the best baseline at thresholds that were found alike."""
    reference, _, kind = key
    alike = HALVES if kind == PAPER else kind
    others = {
        method: members
        for (drawn, method, found), members in groups.items()
        if drawn == reference and found == alike and method in baselines and members
    }
    if not others:
        return {}
    best = max(others, key=lambda method: _mean([row["dice"] for row in others[method]]))
    ours, theirs = _by_subject(groups[key]), _by_subject(others[best])
    both = sorted(ours.keys() & theirs.keys())
    return {
        "compared_with": best,
        "difference": _mean([ours[subject] - theirs[subject] for subject in both]),
        "p_value": paired_test([ours[s] for s in both], [theirs[s] for s in both], seed=seed),
    }


def _by_subject(members: Sequence[Row]) -> dict[str, float]:
    return subject_means(
        [row["dice"] for row in members], [row["participant_id"] for row in members]
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _words(at_edge: bool | None) -> str | None:
    return None if at_edge is None else "yes" if at_edge else "no"
