"""Who is trained on and who is held out: whole participants and subject groups."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uadbids.bids.query import Scan
from uadbids.errors import UsageError


@dataclass(frozen=True)
class SplitOptions:
    """How participants are held out."""

    labels: tuple[str, ...] = ()  # these participants, with or without ``sub-``; empty for a draw
    fraction: float = 0.2  # share of subject groups that is drawn
    folds: int = 0  # number of parts, each held out once; 0 to hold out once only
    seed: int = 0  # of the draw


def subject_groups(scans: Iterable[Scan]) -> dict[str, str]:
    """Return the subject group of each participant: that of its label map, or else its own.

    Synthetic participants from one label map have one brain: a model that was trained on one of
    them has seen the others.
    """
    return {
        scan.subject: str(
            scan.metadata.get("LabelMapSHA256", scan.metadata.get("LabelMap", scan.subject))
        )
        for scan in scans
    }


def choose_held_out(
    members: Mapping[str, str], options: SplitOptions, bids_dir: Path
) -> list[frozenset[str]]:
    """Choose the participants that each training holds out: one set, or one for each fold.

    The folds share nobody and together are everybody. Nobody is held out who shares a group (see
    `subject_groups`: participant -> group) with somebody that is trained on. UsageError when the
    labels are unknown, everybody, or not all of one group, or there are too few participants.
    """
    if options.labels and not options.folds:
        return [_labelled(members, options.labels, bids_dir)]
    parts = (_folds if options.folds else _drawn)(members, options, bids_dir)
    return [frozenset(who for who, group in members.items() if group in part) for part in parts]


def _drawn(
    members: Mapping[str, str], options: SplitOptions, bids_dir: Path
) -> list[Sequence[str]]:
    distinct = sorted(set(members.values()))
    if len(distinct) < 2:
        raise UsageError(
            f"{bids_dir}: at least two participants are needed, one to hold out"
            + (", and they must not all come from one label map" if len(members) > 1 else "")
        )
    count = min(max(1, round(options.fraction * len(distinct))), len(distinct) - 1)
    return [random.Random(options.seed).sample(distinct, count)]


def _labelled(members: Mapping[str, str], given: Sequence[str], bids_dir: Path) -> frozenset[str]:
    labels = frozenset(label.removeprefix("sub-") for label in given)
    unknown = ", ".join(sorted(labels.difference(members)))
    if unknown:
        raise UsageError(f"--validation-label: no FLAIR of {unknown} in {bids_dir}")
    if labels == members.keys():
        raise UsageError("--validation-label: nobody is left to train on")
    trained_on = {group for who, group in members.items() if who not in labels}
    shared = ", ".join(sorted(who for who in labels if members[who] in trained_on))
    if shared:
        raise UsageError(
            f"--validation-label: {shared} would be held out, but others from the same label map "
            "trained on; hold out all of them (participants.tsv names the label maps)"
        )
    return labels


def _folds(
    members: Mapping[str, str], options: SplitOptions, bids_dir: Path
) -> list[Sequence[str]]:
    if options.labels:
        raise UsageError(
            "--folds holds every participant out once; leave out --validation-label, or --folds"
        )
    distinct = sorted(set(members.values()))
    if not 2 <= options.folds <= len(distinct):
        kind = "participants" if len(distinct) == len(members) else "subject groups"
        raise UsageError(
            f"--folds {options.folds}: choose 2 or more, at most the {len(distinct)} "
            f"{kind} of {bids_dir}"
        )
    shuffled = random.Random(options.seed).sample(distinct, len(distinct))
    return [shuffled[fold :: options.folds] for fold in range(options.folds)]
