"""How a threshold is found: the paper's two halves, and the best one that no method can know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uadbids.errors import UsageError

PAPER_THRESHOLDS = tuple(np.linspace(0.0, 0.15, 15).tolist())
"""Of the paper, section 3, in units of the scaled intensity."""

# From 0.01 % to 40 % of the examined brain, in steps of about 1.5: from one small lesion to
# more than the largest tumours, whatever the unit of the map.
_SHARES_ABOVE = np.logspace(-4.0, -0.4, 22)


@dataclass(frozen=True)
class Sweep:
    """Dice of every scan at every threshold.

    Attributes
    ----------
    thresholds : tuple of float, length T
        Increasing.
    dice : ndarray of float, shape (N, T)
        One row a scan.

    Raises
    ------
    ValueError
        If the two do not fit each other.
    """

    thresholds: tuple[float, ...]
    dice: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.dice.ndim != 2 or self.dice.shape[1] != len(self.thresholds):
            raise ValueError("A sweep needs one column for each threshold.")

    def best(self, scans: npt.NDArray[np.bool_] | None = None) -> int:
        """Column with the highest mean Dice over the scans; the first of equal ones."""
        rows = self.dice if scans is None else self.dice[scans]
        return int(np.argmax(rows.mean(axis=0)))


@dataclass(frozen=True)
class Choice:
    """A threshold for each scan.

    Attributes
    ----------
    thresholds : tuple of float, length N
        In the order of the scans.
    at_edge : bool
        Whether one of them is the first or the last that was tried: a wider range may hold a
        better one.
    """

    thresholds: tuple[float, ...]
    at_edge: bool


def own_thresholds(samples: Sequence[npt.NDArray[np.floating]]) -> tuple[float, ...]:
    """Thresholds that suit a map of any unit.

    Parameters
    ----------
    samples : sequence of ndarray
        Values of the map at examined voxels, one array a scan; a part of them will do.

    Returns
    -------
    tuple of float
        Increasing, 22 at most: those that leave 0.01 % to 40 % of the voxels above.
    """
    pooled = np.concatenate([np.ravel(sample) for sample in samples])
    return tuple(np.unique(np.quantile(pooled, 1.0 - _SHARES_ABOVE)).tolist())


def halves(
    subjects: Sequence[str], strata: Sequence[str] | None = None, *, seed: int = 0
) -> npt.NDArray[np.bool_]:
    """Split scans in two halves by subject, evenly within each stratum (docs/evaluation.md).

    Parameters
    ----------
    subjects : sequence of str
        Who each scan belongs to; all scans of one are in one half.
    strata : sequence of str, optional
        Group of each scan, such as its dataset; the same for all scans of a subject. One group if
        None.
    seed : int
        Of the split.

    Returns
    -------
    ndarray of bool, shape (N,)
        True in the first half.

    Raises
    ------
    UsageError
        With fewer than two subjects.
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


def split_half(sweep: Sweep, first: npt.NDArray[np.bool_]) -> Choice:
    """Choose on one half, use on the other, both ways (paper, section 3).

    Parameters
    ----------
    sweep : Sweep
        Of N scans.
    first : ndarray of bool, shape (N,)
        The first half; neither may be empty.

    Returns
    -------
    Choice
        For each scan the threshold that was best on the half it is not in.
    """
    on_first, on_second = sweep.best(first), sweep.best(~first)
    columns = np.where(first, on_second, on_first)
    return _choice(sweep, columns)


def oracle(sweep: Sweep) -> Choice:
    """Choose the one threshold that suits all scans best: known only to who knows the labels."""
    return _choice(sweep, np.full(len(sweep.dice), sweep.best()))


def _choice(sweep: Sweep, columns: npt.NDArray[np.integer]) -> Choice:
    edges = {0, len(sweep.thresholds) - 1}
    return Choice(
        tuple(sweep.thresholds[column] for column in columns),
        at_edge=bool(edges & set(columns.tolist())),
    )
