"""The tables of an evaluation: figures of each scan, and what they come to."""

import math
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from uadbids.detection.residuals import mean_absolute_error
from uadbids.evaluation.baselines import Method
from uadbids.evaluation.cases import Case
from uadbids.evaluation.metrics import map_figures, mask_figures
from uadbids.evaluation.protocol import HALVES, KINDS, LABEL_FREE, PAPER, Plan
from uadbids.evaluation.statistics import bootstrap_interval, correlation, paired_test, tertiles

DRAWN = "by hand"
THIRDS = ("small", "medium", "large")
KEY = ["reference", "method", "threshold_kind"]
Row = dict[str, Any]


def _columns() -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Columns of both tables with their meanings, and those of which there is a mean."""
    about = tomllib.loads(Path(__file__).with_name("columns.toml").read_text(encoding="utf-8"))
    columns, own = about["metrics"], about["summary"]
    kinds = "; ".join(f"{kind}: {text}" for kind, text in KINDS.items())
    described = columns["threshold_kind"]
    described["Description"] = described["Description"].format(kinds=kinds)
    columns["lesion_third"]["Levels"] = dict.fromkeys(THIRDS, "third of the scans")
    averaged = [name for name, column in columns.items() if column.pop("averaged", False)]
    correlated = {"volume_correlation": own.pop("volume_correlation")}
    means = {
        name: {**columns[name], "Description": f"Mean of {name} over the scans that have it"}
        for name in averaged
    }
    thirds = {
        f"dice_{third}": {"Description": f"Mean Dice of the third with {third} lesion volumes"}
        for third in THIRDS
    }
    summary = {name: columns[name] for name in KEY} | own | means | correlated | thirds
    return columns, summary, averaged


COLUMNS, SUMMARY_COLUMNS, _AVERAGED = _columns()


class Curve(NamedTuple):
    """Precision at `metrics.RECALLS` of one method on one scan."""

    reference: str
    method: str
    precision: np.ndarray


def score_case(
    case: Case, methods: Sequence[Method], plans: Sequence[Plan]
) -> tuple[list[Row], list[Curve]]:
    """Measure every method on one scan by the thresholds of the plans that have it.

    Rows of the table are one for each reference, method and kind of threshold, and one for each
    pair of people who drew; curves, one for each reference and method.
    """
    rows: list[Row] = []
    curves: list[Curve] = []
    about = {
        "participant_id": f"sub-{case.scan.subject}",
        "session_id": f"ses-{case.scan.session}" if case.scan.session else None,
        "scan": case.scan.name,
    }
    for method in methods:
        if case.side is None and not method.is_model:
            continue
        on_template = None if case.side is None else method.scores(case.side)
        scores = _scores(case, method, on_template)
        for reference, truth in case.references.items():
            quality, curve = map_figures(scores, truth, case.brain | truth)
            curves.append(Curve(reference, method.name, curve))
            extra = {**about, **quality, **_on_template(case, reference, method)}
            wanted = [p for p in plans if (p.reference, p.method) == (reference, method.name)]
            for plan, found in _findings(case, method, on_template, wanted):
                key = dict(zip(KEY, (reference, method.name, plan.kind), strict=True))
                figures = mask_figures(found, truth, case.brain, case.spacing)
                threshold = plan.thresholds[case.scan.name]
                rows.append({**key, "threshold": threshold, **figures, **extra})
    # People with each other: what a method can be asked for at most.
    for (reference, truth), (other, found) in combinations(case.references.items(), 2):
        key = dict(zip(KEY, (reference, other, DRAWN), strict=True))
        rows.append({**about, **key, **mask_figures(found, truth, case.brain, case.spacing)})
    return rows, curves


def _scores(case: Case, method: Method, on_template: np.ndarray | None) -> np.ndarray:
    """Map on the grid of the evaluation, lowest where nobody looks: the same for all methods."""
    if case.side is None or on_template is None:
        return case.anomaly
    values = case.anomaly if method.is_model else case.values(on_template)
    lowest = float(values.min()) - 1.0
    return np.where(case.labels(case.side.examined), values, np.float32(lowest))


def _findings(
    case: Case, method: Method, on_template: np.ndarray | None, plans: Sequence[Plan]
) -> Iterator[tuple[Plan, np.ndarray]]:
    for plan in plans:
        threshold = plan.thresholds.get(case.scan.name)
        if threshold is None:
            continue
        if plan.kind == LABEL_FREE and method.is_model:
            yield plan, case.found
        elif case.side is not None and on_template is not None:
            yield plan, case.labels(case.side.findings(on_template, threshold, method.boundary))


def _on_template(case: Case, reference: str, method: Method) -> Row:
    """Share of the lesions that is examined; of a model, errors in healthy and lesion tissue."""
    if case.side is None:
        return {}
    side, truth = case.side, case.on_template[reference]
    lesion = int(np.count_nonzero(truth))
    examined = int(np.count_nonzero(truth & side.examined))
    figures = {"lesion_examined": examined / lesion if lesion else math.nan}
    if method.is_model or method.in_intensity:
        tissue = {"brain": side.seen, "healthy": side.seen & ~truth, "lesion": side.seen & truth}
        for name, part in tissue.items():
            error = mean_absolute_error(side.volume, side.reconstruction, part)
            figures[f"mae_{name}"] = error
    return figures


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
) -> list[Row]:
    """Make one row, of `SUMMARY_COLUMNS`, of each reference, method and kind of threshold.

    The rows are those of `add_thirds`. Plans give the order, and whose best threshold was at an
    edge; the method named `model` is compared with the baselines of these names; the seed is that
    of bootstrap and permutations.
    """
    found = dict(iter(pd.DataFrame(rows, columns=list(COLUMNS)).groupby(KEY, sort=False)))
    edges = {(plan.reference, plan.method, plan.kind): plan.at_edge for plan in plans}
    order = [*edges, *(key for key in found if key not in edges)]
    groups = {key: found[key] for key in order if key in found}
    summary = []
    for key, members in groups.items():
        line = dict(zip(KEY, key, strict=True)) | _line(members, seed)
        line["at_edge"] = {None: None, True: "yes", False: "no"}[edges.get(key)]
        if key[1] == model:
            line |= _compared(key, groups, baselines, seed)
        summary.append(line)
    return summary


def _line(members: pd.DataFrame, seed: int) -> Row:
    interval = bootstrap_interval(members["dice"], members["participant_id"], seed=seed)
    thirds = members.groupby("lesion_third")["dice"].mean()
    return {
        "scans": len(members),
        "participants": members["participant_id"].nunique(),
        "dice": interval.mean,
        "dice_sd": float(members["dice"].std()),
        "dice_low": interval.low,
        "dice_high": interval.high,
        **members[["threshold", *_AVERAGED]].astype(float).mean().to_dict(),
        "volume_correlation": correlation(members["lesion_volume_ml"], members["found_volume_ml"]),
        **{f"dice_{third}": float(thirds.get(third, math.nan)) for third in THIRDS},
    }


def _compared(
    key: tuple[str, str, str],
    groups: Mapping[tuple[str, str, str], pd.DataFrame],
    baselines: Collection[str],
    seed: int,
) -> Row:
    """Compare the model with the best baseline at thresholds that were found alike."""
    reference, _, kind = key
    alike = HALVES if kind == PAPER else kind
    others = [(reference, name, alike) for name in baselines if (reference, name, alike) in groups]
    if not others:
        return {}
    # Of equal ones the first in the table.
    best = max((k for k in groups if k in others), key=lambda k: groups[k]["dice"].mean())
    ours, theirs = (groups[k].groupby("participant_id")["dice"].mean() for k in (key, best))
    ours, theirs = ours.align(theirs, join="inner")
    return {
        "compared_with": best[1],
        "difference": float((ours - theirs).mean()),
        "p_value": paired_test(ours, theirs, seed=seed),
    }
