"""Who is trained on and who is held out: always whole participants, never scans."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from uadbids.errors import UsageError


@dataclass(frozen=True)
class SplitOptions:
    """How participants are held out.

    Attributes
    ----------
    labels : tuple of str
        These participants, with or without ``sub-``; empty for a seeded draw.
    fraction : float
        Share of participants that is drawn.
    folds : int
        Number of groups each of which is held out once; 0 to hold out once only.
    seed : int
        Of the draw.
    """

    labels: tuple[str, ...] = ()
    fraction: float = 0.2
    folds: int = 0
    seed: int = 0


def choose_held_out(
    found: Collection[str], options: SplitOptions, bids_dir: Path
) -> list[frozenset[str]]:
    """Choose the participants that each training holds out.

    Parameters
    ----------
    found : collection of str
        Labels of the participants with a FLAIR, in any order; repeats do not count.
    options : SplitOptions
        How to choose.
    bids_dir : Path
        For messages.

    Returns
    -------
    list of frozenset of str
        One set, or one for each fold; the folds share nobody and together are everybody.

    Raises
    ------
    UsageError
        When the labels are unknown or everybody, or there are too few participants.
    """
    subjects = sorted(set(found))
    if options.folds:
        return _folds(subjects, options, bids_dir)
    if options.labels:
        return [_labelled(subjects, options.labels, bids_dir)]
    if len(subjects) < 2:
        raise UsageError(f"{bids_dir}: at least two participants are needed, one to hold out")
    count = min(max(1, round(options.fraction * len(subjects))), len(subjects) - 1)
    return [frozenset(random.Random(options.seed).sample(subjects, count))]


def _labelled(subjects: Sequence[str], given: Sequence[str], bids_dir: Path) -> frozenset[str]:
    labels = frozenset(label.removeprefix("sub-") for label in given)
    unknown = ", ".join(sorted(labels.difference(subjects)))
    if unknown:
        raise UsageError(f"--validation-label: no FLAIR of {unknown} in {bids_dir}")
    if labels == set(subjects):
        raise UsageError("--validation-label: nobody is left to train on")
    return labels


def _folds(subjects: Sequence[str], options: SplitOptions, bids_dir: Path) -> list[frozenset[str]]:
    if options.labels:
        raise UsageError(
            "--folds holds every participant out once; leave out --validation-label, or --folds"
        )
    if not 2 <= options.folds <= len(subjects):
        raise UsageError(
            f"--folds {options.folds}: choose 2 or more, at most the {len(subjects)} "
            f"participants of {bids_dir}"
        )
    shuffled = random.Random(options.seed).sample(subjects, len(subjects))
    return [frozenset(shuffled[fold :: options.folds]) for fold in range(options.folds)]
