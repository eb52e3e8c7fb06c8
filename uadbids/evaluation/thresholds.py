"""Which threshold each method uses on each scan, by each of the ways to find one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uadbids.evaluation.cases import Case
from uadbids.evaluation.methods import Method
from uadbids.evaluation.metrics import dice, volume_ml
from uadbids.evaluation.protocol import (
    PAPER_THRESHOLDS,
    Choice,
    Sweep,
    halves,
    oracle,
    own_thresholds,
    split_half,
)
from uadbids.evaluation.statistics import subject_means, tertiles

LABEL_FREE, PAPER, HALVES, ORACLE = "label-free", "paper", "halves", "oracle"
KINDS: Mapping[str, str] = {
    LABEL_FREE: "found without labels: the model's own; a baseline's is exceeded by as many voxels "
    "of healthy scans (--healthy-maps)",
    PAPER: "the paper's protocol: the best of 15 thresholds in [0, 0.15] on one half of the "
    "participants, used on the other half, both ways (halves alike in lesion volume)",
    HALVES: "the same with 22 thresholds that suit the range of the method's own map",
    ORACLE: "the one of these 22 with the highest mean Dice on all scans: needs their labels, so "
    "no method can know it; an upper bound",
}
# Of the examined voxels of a scan, every so many are looked at for the range of a map.
_STEP = 50

Cases = Callable[[], Iterable[Case]]


@dataclass(frozen=True)
class Plan:
    """Thresholds of one method against one reference, found in one way.

    Attributes
    ----------
    reference, method, kind : str
        Names; kind is one of `KINDS`.
    thresholds : mapping of str to float
        Scan -> threshold.
    at_edge : bool
        Whether the best threshold was the first or last of those tried.
    """

    reference: str
    method: str
    kind: str
    thresholds: Mapping[str, float]
    at_edge: bool = False


def find_thresholds(cases: Cases, methods: Sequence[Method], seed: int) -> list[Plan]:
    """Find all thresholds; every scan is read twice, one at a time.

    Parameters
    ----------
    cases : callable
        Gives the same scans each time.
    methods : sequence of Method
        What is compared.
    seed : int
        Of the halves.

    Returns
    -------
    list of Plan
        By reference, kind and method. Without the template space, label-free ones alone; without
        a second participant, no halves.
    """
    samples: dict[str, list[np.ndarray]] = {method.name: [] for method in methods}
    plans: dict[tuple[str, str], dict[str, float]] = {}
    owners: dict[str, str] = {}
    volumes: dict[str, dict[str, float]] = {}
    for case in cases():
        for method in methods:
            if case.side is not None:
                samples[method.name].append(method.scores(case.side)[case.side.examined][::_STEP])
            threshold = case.threshold if method.is_model else method.threshold
            if threshold is not None:
                for reference in case.references:
                    plans.setdefault((reference, method.name), {})[case.scan.name] = threshold
        owners[case.scan.name] = case.scan.subject
        for reference, truth in case.references.items():
            volume = volume_ml(truth, case.spacing)
            volumes.setdefault(reference, {})[case.scan.name] = volume
    found = [Plan(r, name, LABEL_FREE, known) for (r, name), known in plans.items()]
    grids = _grids(methods, samples)
    dices = _sweep(cases, methods, grids) if grids else {}
    for (reference, name, grid), rows in dices.items():
        sweep = Sweep(grids[name, grid], np.array(list(rows.values())))
        first = _first_half(
            [owners[scan] for scan in rows], [volumes[reference][s] for s in rows], seed
        )
        for kind, choice in _choices(sweep, grid, first):
            known = dict(zip(rows, choice.thresholds, strict=True))
            found.append(Plan(reference, name, kind, known, choice.at_edge))
    order = {method.name: place for place, method in enumerate(methods)}
    kinds = list(KINDS)
    return sorted(found, key=lambda p: (p.reference, kinds.index(p.kind), order[p.method]))


def _grids(
    methods: Sequence[Method], samples: Mapping[str, list[np.ndarray]]
) -> dict[tuple[str, str], tuple[float, ...]]:
    grids: dict[tuple[str, str], tuple[float, ...]] = {}
    for method in methods:
        if not samples[method.name]:
            continue
        grids[method.name, HALVES] = own_thresholds(samples[method.name])
        # Its range of thresholds has a meaning in units of the scaled intensity alone.
        if method.in_intensity:
            grids[method.name, PAPER] = PAPER_THRESHOLDS
    return grids


def _sweep(
    cases: Cases, methods: Sequence[Method], grids: Mapping[tuple[str, str], tuple[float, ...]]
) -> dict[tuple[str, str, str], dict[str, list[float]]]:
    """Dice of each scan at each threshold, by reference, method and grid."""
    dices: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    named = {method.name: method for method in methods}
    for case in cases():
        if case.side is None:
            continue
        for (method, grid), thresholds in grids.items():
            scores = named[method].scores(case.side)
            for threshold in thresholds:
                found = case.labels(case.side.lesions(scores, threshold, named[method].boundary))
                for reference, truth in case.references.items():
                    rows = dices.setdefault((reference, method, grid), {})
                    rows.setdefault(case.scan.name, []).append(dice(found, truth))
    return dices


def _first_half(
    subjects: Sequence[str], volumes: Sequence[float], seed: int
) -> npt.NDArray[np.bool_] | None:
    """Split participants into halves alike in lesion volume; None where there is but one."""
    if len(set(subjects)) < 2:
        return None
    loads = subject_means(volumes, subjects)
    thirds = dict(zip(loads, tertiles(list(loads.values())), strict=True))
    return halves(subjects, [str(thirds[subject]) for subject in subjects], seed=seed)


def _choices(
    sweep: Sweep, grid: str, first: npt.NDArray[np.bool_] | None
) -> Iterable[tuple[str, Choice]]:
    if first is not None:
        yield grid, split_half(sweep, first)
    if grid == HALVES:
        yield ORACLE, oracle(sweep)
