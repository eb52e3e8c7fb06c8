"""From scans to a statement about a method: intervals, paired tests, lesion-load thirds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Interval(NamedTuple):
    """A mean and the interval around it; NaN where it is not defined."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float],
    subjects: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Mean over scans with a percentile bootstrap over subjects.

    Scans of one subject are not independent, so they are drawn together.

    Parameters
    ----------
    values : sequence of float
        One value a scan; those that are NaN (not defined) are left out.
    subjects : sequence of str
        Who each scan belongs to.
    level : float
        Coverage, between 0 and 1.
    draws : int
        Number of bootstrap samples.
    seed : int
        Of the draws: the same numbers give the same interval.

    Returns
    -------
    Interval
        Mean and its bounds; the bounds are NaN with fewer than two subjects, which tell nothing
        of how subjects differ.

    Raises
    ------
    ValueError
        If values and subjects differ in number.
    """
    known = [(v, s) for v, s in zip(values, subjects, strict=True) if not math.isnan(v)]
    if not known:
        return Interval(math.nan, math.nan, math.nan)
    numbers = np.array([value for value, _ in known], dtype=float)
    mean = float(numbers.mean())
    names, owner = np.unique([subject for _, subject in known], return_inverse=True)
    if names.size < 2:
        return Interval(mean, math.nan, math.nan)
    sums, counts = np.bincount(owner, weights=numbers), np.bincount(owner)
    generator = np.random.default_rng(seed)
    picked = generator.integers(0, names.size, size=(draws, names.size))
    means = sums[picked].sum(axis=1) / counts[picked].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def subject_means(values: Sequence[float], subjects: Sequence[str]) -> dict[str, float]:
    """Mean of each subject's scans, in the order of the names; NaN values are left out."""
    by_subject: dict[str, list[float]] = {}
    for value, subject in sorted(zip(values, subjects, strict=True), key=lambda pair: pair[1]):
        if not math.isnan(value):
            by_subject.setdefault(subject, []).append(value)
    return {subject: float(np.mean(several)) for subject, several in by_subject.items()}


def paired_test(
    ours: Sequence[float], theirs: Sequence[float], *, draws: int = 9999, seed: int = 0
) -> float:
    """Two-sided p-value that two methods are equally good on the same subjects.

    Sign-flip permutation test of the mean difference: no assumption on its distribution but
    symmetry under the null. Exact with few subjects (13 and fewer), by chance draws else.

    Parameters
    ----------
    ours, theirs : sequence of float
        One value a subject, in the same order.
    draws : int
        Number of permutations at most.
    seed : int
        Of the draws.

    Returns
    -------
    float
        In (0, 1]; NaN with fewer than two subjects. With n subjects it cannot be smaller than
        2 / 2**n: five or fewer never reach 0.05.

    Raises
    ------
    ValueError
        If the two differ in number.
    """
    differences = np.array([a - b for a, b in zip(ours, theirs, strict=True)], dtype=float)
    if differences.size < 2:
        return math.nan
    size, exact = differences.size, 2**differences.size <= draws
    if exact:
        bits = np.arange(2**size)[:, None] >> np.arange(size)
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(draws, size))
    means = np.abs((2.0 * (bits & 1) - 1.0) @ differences)
    # Sums of the same numbers in another order differ in their last digits.
    as_far = int(np.count_nonzero(means >= abs(differences.sum()) * (1 - 1e-9)))
    # By chance draws, the data themselves count as one of them, so that p is never 0.
    return as_far / len(means) if exact else (as_far + 1) / (len(means) + 1)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson correlation; NaN with fewer than three pairs or without spread."""
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if x.size < 3 or not np.ptp(x) or not np.ptp(y):
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def tertiles(volumes: Sequence[float]) -> npt.NDArray[np.intp]:
    """Third of the lesion load that each scan belongs to.

    Parameters
    ----------
    volumes : sequence of float
        Lesion volumes, any unit.

    Returns
    -------
    ndarray of int, shape (N,)
        0 (small), 1, 2 (large); equal volumes are in one third.
    """
    loads = np.asarray(volumes, dtype=float)
    if not loads.size:
        return np.zeros(0, dtype=np.intp)
    return np.searchsorted(np.quantile(loads, [1 / 3, 2 / 3]), loads, side="left")
