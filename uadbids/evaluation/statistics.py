"""From scans to a statement about a method: intervals, paired tests, lesion-load thirds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats


class Interval(NamedTuple):
    """A mean and the interval around it; NaN where it is not defined."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float],
    subjects: Sequence[str],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Mean over scans with a percentile bootstrap over subjects: its 95 % interval.

    Scans of one subject are not independent, so they are drawn together. Values that are NaN (not
    defined) are left out. The bounds are NaN with fewer than two subjects, which say nothing of how
    subjects differ.
    """
    known = pd.Series(list(values), dtype=float).groupby(list(subjects)).agg(["sum", "count"])
    known = known[known["count"] > 0]
    sums, counts = known["sum"].to_numpy(), known["count"].to_numpy()
    mean = float(sums.sum() / counts.sum()) if len(known) else math.nan
    if len(known) < 2:
        return Interval(mean, math.nan, math.nan)
    found = stats.bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=0.95,
        n_resamples=draws,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def subject_means(values: Sequence[float], subjects: Sequence[str]) -> dict[str, float]:
    """Mean of each subject's scans, in the order of the names; NaN values are left out."""
    means = pd.Series(list(values), dtype=float).groupby(list(subjects)).mean().dropna()
    return {str(subject): float(mean) for subject, mean in means.items()}


def paired_test(
    ours: Sequence[float], theirs: Sequence[float], *, draws: int = 9999, seed: int = 0
) -> float:
    """Two-sided p-value that two methods are equally good on the same subjects, in (0, 1].

    Sign-flip permutation test of the mean difference: no assumption on its distribution but
    symmetry under the null. Exact with few subjects (13 and fewer), by chance draws else. With n
    subjects it cannot be smaller than 2 / 2**n: five or fewer never reach 0.05. NaN with one.
    """
    differences = np.subtract(ours, theirs, dtype=float)
    if differences.size < 2:
        return math.nan
    found = stats.permutation_test(
        (differences,),
        lambda d, axis: np.abs(d.mean(axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=draws,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson correlation; NaN with fewer than three pairs or without spread."""
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if x.size < 3 or not np.ptp(x) or not np.ptp(y):
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def tertiles(volumes: Sequence[float]) -> npt.NDArray[np.intp]:
    """Third of the lesion load of each scan: 0 (small), 1, 2 (large); equal volumes in one."""
    loads = np.asarray(volumes, dtype=float)
    if not loads.size:
        return np.zeros(0, dtype=np.intp)
    return np.searchsorted(np.quantile(loads, [1 / 3, 2 / 3]), loads, side="left")
