"""Which threshold each method uses on each scan, by each of the ways to find one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uadbids.errors import UsageError
from uadbids.evaluation.baselines import Method
from uadbids.evaluation.cases import Case
from uadbids.evaluation.metrics import dice, volume_ml
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
PAPER_THRESHOLDS = tuple(np.linspace(0.0, 0.15, 15).tolist())
"""Of the paper, section 3, in units of the scaled intensity."""

# From 0.01 % to 40 % of the examined brain, in steps of about 1.5: from one small lesion to
# more than the largest tumours, whatever the unit of the map.
_SHARES_ABOVE = np.logspace(-4.0, -0.4, 22)
# Of the examined voxels of a scan, every so many are looked at for the range of a map.
_STEP = 50

Cases = Callable[[], Iterable[Case]]


@dataclass(frozen=True)
class Plan:
    """Thresholds of one method against one reference, found in one way."""

    reference: str
    method: str
    kind: str  # one of `KINDS`
    thresholds: Mapping[str, float]  # scan -> threshold
    # The best threshold was the first or last of those tried: a wider range may hold a better one.
    at_edge: bool = False


@dataclass(frozen=True)
class Choice:
    """A threshold for each of N scans, in their order; whether one is at an edge (see `Plan`)."""

    thresholds: tuple[float, ...]
    at_edge: bool


@dataclass(frozen=True)
class Sweep:
    """Dice of every scan at every threshold; ValueError if the two do not fit each other."""

    thresholds: tuple[float, ...]  # T, increasing
    dice: npt.NDArray[np.float64]  # (N, T): one row a scan

    def __post_init__(self) -> None:
        if self.dice.ndim != 2 or self.dice.shape[1] != len(self.thresholds):
            raise ValueError("A sweep needs one column for each threshold.")

    def best(self, scans: npt.NDArray[np.bool_] | None = None) -> int:
        """Column with the highest mean Dice over the scans; the first of equal ones."""
        rows = self.dice if scans is None else self.dice[scans]
        return int(np.argmax(rows.mean(axis=0)))

    def choose(self, columns: npt.NDArray[np.integer]) -> Choice:
        """Choice of one column for each scan."""
        edges = {0, len(self.thresholds) - 1}
        return Choice(
            tuple(self.thresholds[column] for column in columns),
            at_edge=bool(edges & set(columns.tolist())),
        )


def split_half(sweep: Sweep, first: npt.NDArray[np.bool_]) -> Choice:
    """Choose on one half, use on the other, both ways (paper, section 3).

    ``first`` says which scans are in the first half; neither may be empty.
    """
    return sweep.choose(np.where(first, sweep.best(~first), sweep.best(first)))


def oracle(sweep: Sweep) -> Choice:
    """Choose the one threshold that suits all scans best: known only to who knows the labels."""
    return sweep.choose(np.full(len(sweep.dice), sweep.best()))


def own_thresholds(samples: Sequence[npt.NDArray[np.floating]]) -> tuple[float, ...]:
    """Thresholds that suit a map of any unit: 22 at most, leaving 0.01 % to 40 % above.

    The samples are values of the map at (some of the) examined voxels, one array a scan.
    """
    pooled = np.concatenate([np.ravel(sample) for sample in samples])
    return tuple(np.unique(np.quantile(pooled, 1.0 - _SHARES_ABOVE)).tolist())


def halves(
    subjects: Sequence[str], strata: Sequence[str] | None = None, *, seed: int = 0
) -> npt.NDArray[np.bool_]:
    """Split N scans in two halves by subject, evenly within each stratum (docs/evaluation.md).

    Strata are groups of the scans, such as thirds of the lesion load, the same for all scans of a
    subject, which are in one half. True in the first half; UsageError with fewer than two subjects.
    """
    groups = strata or [""] * len(subjects)
    people = sorted(set(zip(groups, subjects, strict=True)))
    if len(people) < 2:
        raise UsageError("Two halves need scans of at least two participants.")
    order = np.random.default_rng(seed).permutation(len(people))
    shuffled = sorted((people[i] for i in order), key=lambda person: person[0])
    # Every second one, counted on from stratum to stratum, so that odd strata even out.
    first = set(shuffled[::2])
    return np.array([person in first for person in zip(groups, subjects, strict=True)])


def find_thresholds(cases: Cases, methods: Sequence[Method], seed: int) -> list[Plan]:
    """Find all thresholds, by reference, kind and method; every scan is read twice, one at a time.

    ``cases`` gives the same scans each time, ``seed`` is of the halves. Without the template space
    there are label-free ones alone; without a second participant, no halves.
    """
    samples: dict[str, list[np.ndarray]] = {}
    free: dict[tuple[str, str], dict[str, float]] = {}
    owners: dict[str, str] = {}
    volumes: dict[str, dict[str, float]] = {}
    for case in cases():
        scan = case.scan.name
        owners[scan] = case.scan.subject
        for reference, truth in case.references.items():
            volumes.setdefault(reference, {})[scan] = volume_ml(truth, case.spacing)
        for method in methods:
            if case.side is not None:
                values = method.scores(case.side)[case.side.examined][::_STEP]
                samples.setdefault(method.name, []).append(values)
            threshold = case.threshold if method.is_model else method.threshold
            if threshold is not None:
                for reference in case.references:
                    free.setdefault((reference, method.name), {})[scan] = threshold
    found = [Plan(r, name, LABEL_FREE, known) for (r, name), known in free.items()]
    for (reference, name, grid), (sweep, scans) in _sweeps(cases, methods, samples).items():
        loads = [volumes[reference][scan] for scan in scans]
        first = _first_half([owners[scan] for scan in scans], loads, seed)
        for kind, choice in _choices(sweep, grid, first):
            known = dict(zip(scans, choice.thresholds, strict=True))
            found.append(Plan(reference, name, kind, known, choice.at_edge))
    order, kinds = [method.name for method in methods], list(KINDS)
    return sorted(found, key=lambda p: (p.reference, kinds.index(p.kind), order.index(p.method)))


def _sweeps(
    cases: Cases, methods: Sequence[Method], samples: Mapping[str, list[np.ndarray]]
) -> dict[tuple[str, str, str], tuple[Sweep, list[str]]]:
    """Sweep over scans, and their names, by reference, method and kind of threshold."""
    grids: dict[tuple[str, str], tuple[float, ...]] = {}
    for method in methods:
        if method.name in samples:
            grids[method.name, HALVES] = own_thresholds(samples[method.name])
            # The paper's thresholds have a meaning in units of the scaled intensity alone.
            if method.in_intensity:
                grids[method.name, PAPER] = PAPER_THRESHOLDS
    dices: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    named = {method.name: method for method in methods}
    for case in cases() if grids else ():
        if case.side is None:
            continue
        for (name, grid), thresholds in grids.items():
            scores = named[name].scores(case.side)
            for threshold in thresholds:
                found = case.labels(case.side.findings(scores, threshold, named[name].boundary))
                for reference, truth in case.references.items():
                    rows = dices.setdefault((reference, name, grid), {})
                    rows.setdefault(case.scan.name, []).append(dice(found, truth))
    return {
        key: (Sweep(grids[key[1:]], np.array(list(rows.values()))), list(rows))
        for key, rows in dices.items()
    }


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
) -> Iterator[tuple[str, Choice]]:
    if first is not None:
        yield grid, split_half(sweep, first)
    if grid == HALVES:
        yield ORACLE, oracle(sweep)
