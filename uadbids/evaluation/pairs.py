"""Pair finished scans of a uadbids dataset with the lesion masks that people drew on them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uadbids.bids.derivatives import finished_scans
from uadbids.bids.masks import LESIONS
from uadbids.bids.scan import ENTITIES, FinishedScan, parse_entities
from uadbids.errors import UsageError

Filters = Mapping[str, frozenset[str]]

_FILE = re.compile(r"(?P<stem>sub-.+)_(mask|dseg)\.nii(\.gz)?")
# Whose mask it is rather than of which scan.
_NAMING = ("rater", "seg", "label", "desc")
_ADDED = frozenset({*_NAMING, "space", "res", "den"})
_DRAWN = frozenset(label.lower() for label in LESIONS - {"anomaly"})
_NOT_LESIONS = frozenset({"brain", "head", "gm", "wm", "csf", "anomaly"})


@dataclass(frozen=True)
class Pair:
    """A finished scan and its lesion masks."""

    scan: FinishedScan
    # Name of the reference, such as ``label-lesion_desc-rater1`` -> image in the scan's space.
    masks: Mapping[str, Path]


@dataclass(frozen=True)
class Pairing:
    """What was paired, and what was not."""

    pairs: tuple[Pair, ...]  # in the order of the scans
    left_over: Mapping[str, str]  # scan or mask -> why it stayed alone


def read_filters(texts: Sequence[str]) -> Filters:
    """Read ``--mask-filter``: entities that a mask must carry, such as ``desc=rater1``.

    Several values of one entity are alternatives. UsageError for a text of another form.
    """
    filters: dict[str, frozenset[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"--mask-filter {text}: give an entity and a value, as desc=rater1")
        name = ENTITIES.get(key, key)
        filters[name] = filters.get(name, frozenset()) | {value.removeprefix(f"{key}-")}
    return filters


def find_pairs(maps_dir: Path, masks_dir: Path, filters: Filters) -> Pairing:
    """Pair scans and masks by the entities in their names.

    Participant and session must be the same. Of the other entities, such as ``run``, those which
    a mask carries must agree; a mask that then fits more than one scan is left over. Without
    filters (`read_filters`), masks count whose label says that they are lesions, or which have no
    label that says otherwise.

    Maps are outputs of ``uadbids participant``; masks are ``*_mask`` or ``*_dseg`` images of a
    dataset or of its ``derivatives/*``. UsageError if a folder is not there, holds no finished scan
    or no mask, or nothing fits.
    """
    for folder in (maps_dir, masks_dir):
        if not folder.is_dir():
            raise UsageError(f"{folder}: the folder is not there")
    scans = finished_scans(maps_dir)
    if not scans:
        raise UsageError(
            f"{maps_dir}: there is no finished scan in it; give the output folder of "
            "uadbids participant"
        )
    found: dict[str, dict[str, Path]] = {scan.name: {} for scan in scans}
    left_over: dict[str, str] = {}
    masks = _masks(masks_dir, maps_dir)
    for path, entities in sorted(masks.items()):
        shown = path.relative_to(masks_dir).as_posix()
        reason, scan = _owner(path, entities, scans, filters)
        name = "_".join(f"{k}-{entities[k]}" for k in _NAMING if k in entities) or "mask"
        if scan is None:
            left_over[shown] = reason
        elif name in found[scan.name]:
            left_over[shown] = (
                f"{found[scan.name][name].relative_to(masks_dir).as_posix()} is called {name} too; "
                "keep one of them, or give its folder as MASKS_DIR"
            )
        else:
            found[scan.name][name] = path
    pairs = tuple(Pair(scan, found[scan.name]) for scan in scans if found[scan.name])
    if not pairs:
        raise UsageError(_nothing(masks_dir, len(masks), left_over))
    alone = {s.name: "there is no lesion mask of it" for s in scans if not found[s.name]}
    return Pairing(pairs, {**alone, **left_over})


def _masks(root: Path, maps_dir: Path) -> dict[Path, dict[str, str]]:
    """Masks of a dataset and of its derivatives but uadbids' own, and the entities of each."""
    datasets = (root, *(root / "derivatives").glob("*/"))
    return {
        path: parse_entities(match["stem"])
        for dataset in datasets
        if dataset.resolve() != maps_dir.resolve()
        for path in dataset.glob("sub-*/**/*.nii*")
        if (match := _FILE.fullmatch(path.name))
    }


def _owner(
    path: Path, entities: Mapping[str, str], scans: Sequence[FinishedScan], filters: Filters
) -> tuple[str, FinishedScan | None]:
    """Return the scan of a mask, or why it has none."""
    reason = _unwanted(entities, filters)
    if reason:
        return reason, None
    if not path.exists():
        return "the file is a link to content that is not here: fetch it", None
    fitting = [scan for scan in scans if _fits(entities, scan)]
    if len(fitting) > 1:
        names = ", ".join(scan.name for scan in fitting)
        return f"it fits more than one scan ({names}); name the scan in its name", None
    if not fitting:
        return "there is no finished scan of that name", None
    return "", fitting[0]


def _unwanted(entities: Mapping[str, str], filters: Filters) -> str:
    for key, values in filters.items():
        if entities.get(key) not in values:
            return f"--mask-filter wants {key}={'|'.join(sorted(values))}"
    if entities.get("space", "orig") != "orig":
        return f"it lies in space-{entities['space']}, not in that of the scan"
    labels = {entities[key].lower() for key in ("label", "desc", "seg") if key in entities}
    # A label, where there is one, must be one of lesions; a description may be anybody's name.
    if not filters and not labels & _DRAWN and ("label" in entities or labels & _NOT_LESIONS):
        return "its label does not say lesion; if it is one, say so by --mask-filter"
    return ""


def _fits(entities: Mapping[str, str], scan: FinishedScan) -> bool:
    if entities.get("session") != scan.session:
        return False
    named = {key: value for key, value in entities.items() if key not in _ADDED}
    return all(scan.entities.get(key) == value for key, value in named.items())


def _nothing(masks_dir: Path, n_masks: int, left_over: Mapping[str, str]) -> str:
    if not n_masks:
        return f"{masks_dir}: there is no sub-*_mask.nii.gz or sub-*_dseg.nii.gz in it"
    first, reason = next(iter(left_over.items()))
    return f"{masks_dir}: none of its {n_masks} masks fits a scan (the first, {first}: {reason})"
