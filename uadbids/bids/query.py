"""The FLAIR scans of a BIDS dataset, found with pybids; no image is opened here."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bids.layout import BIDSLayout, Query

from uadbids.bids.folders import Survey, absent, check_root, is_derivative, known_labels, survey
from uadbids.bids.foreign import load_json
from uadbids.bids.ignore import ignored_by
from uadbids.bids.index import open_index
from uadbids.bids.inherited import merged
from uadbids.bids.scan import ENTITIES, IMAGE_NAME, Scan, is_other_part, parse_entities, skip_reason
from uadbids.errors import UsageError

_WANTED = "sub-*/[ses-*/]anat/*_FLAIR.nii[.gz]"


def find_scans(
    bids_dir: Path,
    *,
    participant_label: Sequence[str] | None = None,
    session_label: Sequence[str] | None = None,
    filters: Mapping[str, Any] | None = None,
    database_dir: Path | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Scan]:
    """Find every FLAIR of a raw BIDS dataset.

    Parameters
    ----------
    participant_label, session_label : sequence of str, optional
        Labels to keep, with or without ``sub-`` and ``ses-``; all when empty or ``None``.
    filters : Mapping, optional
        What `read_filters` returns: pybids entities, either flat or under ``"flair"``.
    database_dir : Path, optional
        Folder of a pybids database of the whole dataset: made, or made again, where it is not
        there or does not agree with the folders.
    note : callable, optional
        Is given a sentence, once, for whatever had to be mended or left out on the way.

    Returns
    -------
    list of Scan
        Sorted by name; those with a `Scan.skip_reason` are to be reported and left alone. A
        participant without a FLAIR is there, too (`Scan.is_absent`).

    Raises
    ------
    UsageError
        If the folder is no BIDS dataset, a label or filter is unknown, or nothing matches.

    Notes
    -----
    Only the ``anat`` folders of the participants asked for are walked, and only FLAIR files are
    indexed: that is what keeps large datasets quick (`benchmarks/discovery.py`).
    """
    root = Path(os.path.abspath(bids_dir))
    # Nothing is said twice.
    note = cache(note or (lambda sentence: None))
    check_root(root, note)
    subjects = known_labels("sub-", participant_label, [root], root)
    folders = [root / f"sub-{label}" for label in subjects] or sorted(root.glob("sub-*"))
    sessions = known_labels("ses-", session_label, folders, root)
    found = survey(root, folders, sessions)
    layout = open_index(root, subjects, sessions, database_dir, found.images, note)
    sidecars = _by_folder(_select(layout, {"suffix": "FLAIR", "extension": ".json"}))
    # By name, not by suffix and extension: names in the wrong case are to be reported.
    chosen = set(_select(layout, {"datatype": "anat", **_flair_filters(filters or {})}))
    # A database holds the whole dataset, so the folders are compared once more.
    scans = [_scan(path, root, sidecars, note) for path in chosen & found.images]
    scans += _unfit(found, scans, root, subjects, bool(filters))
    # A participant without a FLAIR stands for the folder.
    places = {scan.path / "anat" if scan.is_absent else scan.path: scan for scan in scans}
    ignored = [places.pop(place) for place in ignored_by(root, places)]
    if n_images := sum(not scan.is_absent for scan in ignored):
        note(f".bidsignore leaves out {n_images} FLAIR images")
    scans = list(places.values())
    if all(scan.is_absent for scan in scans):
        raise UsageError(_nothing(root, bool(subjects or sessions or filters), scans))
    return _mark_twins(sorted(scans, key=lambda scan: (scan.name, scan.path.name)))


def _unfit(
    found: Survey, scans: Sequence[Scan], root: Path, asked: Sequence[str], is_filtered: bool
) -> list[Scan]:
    """Return what is no scan by its name or place, and participants who have none."""
    having = {(scan.subject, scan.session) for scan in scans}
    unfit = [
        # Beside a sound one it may be a copy.
        replace(scan, is_refused=(scan.subject, scan.session) not in having or scan.path.is_dir())
        for scan in found.misplaced
    ]
    seen = {scan.path.relative_to(root).parts[0] for scan in (*scans, *unfit)}
    for label, held in found.held.items():
        has_one = any(IMAGE_NAME.fullmatch(name) for name in held)
        if f"sub-{label}" not in seen and not (has_one and is_filtered and not asked):
            unfit.append(absent(root, label, held, is_asked=bool(asked)))
    sessionless = [label for label in asked if label not in found.held]
    return unfit + [absent(root, label, None, is_asked=True) for label in sessionless]


def _nothing(root: Path, is_chosen: bool, absent: Sequence[Scan]) -> str:
    if is_chosen:
        return (
            f"No FLAIR image ({_WANTED}) in {root} fits the labels and filters that were given; "
            "check them, or the names of the files."
        )
    if is_derivative(root):
        return (
            f"{root} holds derivatives, as its dataset_description.json says, and no FLAIR image "
            f"({_WANTED}); give the raw dataset."
        )
    if not absent:
        return f"{root} holds no participant; give the folder that holds the sub-* folders."
    first = min(absent, key=lambda scan: scan.name)
    who = first.name + f", the first of {len(absent)} participants" * (len(absent) > 1)
    return (
        f"There is no FLAIR image ({_WANTED}) in {root}; check the names of the files "
        f"({who}: {first.skip_reason})."
    )


def read_filters(path: Path) -> dict[str, Any]:
    """Read a ``--bids-filter-file``, for `find_scans`.

    It is JSON: entities -> value, list of values or null, either flat or, as fMRIPrep has it, under
    a query name (``{"flair": {"session": "1", "acquisition": null}}``). UsageError if the file is
    missing, is not JSON or holds no object.
    """
    try:
        filters, _ = load_json(Path(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read the BIDS filter file {path} as JSON: {error}") from error
    if not isinstance(filters, dict):
        raise UsageError(f'The BIDS filter file {path} must hold an object: {{"flair": {{...}}}}.')
    return filters


def _select(layout: BIDSLayout, query: Mapping[str, Any]) -> list[Path]:
    unknown = sorted(set(query) - set(layout.get_entities()) - {"regex_search"})
    if unknown:
        raise UsageError(
            f"The BIDS filter has an unknown key {unknown[0]!r}; known are "
            f"{', '.join(sorted(ENTITIES.values()))}."
        )
    return [Path(name) for name in layout.get(return_type="filename", **query)]


def _flair_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat query, whichever of the two forms was given."""
    if any(isinstance(value, Mapping) for value in filters.values()):
        named = {key.lower(): value for key, value in filters.items()}
        if not isinstance(named.get("flair"), Mapping):
            raise UsageError(
                'The BIDS filter has no query named "flair" (it has: '
                f"{', '.join(sorted(filters))}); add one, or give entities directly."
            )
        filters = named["flair"]
    regex = bool(filters.get("regex_search"))
    return {
        key: _filter_value(key, _bare_labels(key, value), regex) for key, value in filters.items()
    }


def _bare_labels(key: str, value: Any) -> Any:
    """Take "sub-" and "ses-" from labels; neither can be part of one."""
    prefix = {"subject": "sub-", "session": "ses-"}.get(key)
    if isinstance(value, list):
        return [_bare_labels(key, item) for item in value]
    return value.removeprefix(prefix) if prefix and isinstance(value, str) else value


def _filter_value(key: str, value: Any, regex: bool) -> Any:
    """Translate what stands for "absent" and "any" in filter files of the BIDS Apps."""
    if isinstance(value, list):
        return [_filter_value(key, item, regex) for item in value]
    if value is not None and not isinstance(value, str | int | float):
        raise UsageError(f"The BIDS filter {key!r} must be a text, a number, null or a list.")
    words = {"*": Query.ANY, **{f"Query.{name}": word for name, word in Query.__members__.items()}}
    if not isinstance(value, str) or value in words:
        return words.get(str(value), value)
    try:
        re.compile(value if regex else "")
    except re.error as error:
        message = f"The BIDS filter {key!r} is no regular expression: {value!r} ({error})."
        raise UsageError(message) from error
    return value


def _by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    return folders


def _scan(
    path: Path, root: Path, sidecars: Mapping[Path, Sequence[Path]], note: Callable[[str], None]
) -> Scan:
    stem = IMAGE_NAME.sub(r"\1", path.name)
    folder_label = path.relative_to(root).parts[0].removeprefix("sub-")
    scan = Scan(path, {"subject": folder_label, **parse_entities(stem)})
    reason = skip_reason(scan, root)
    try:
        metadata = merged(scan, root, sidecars, note)
    except ValueError as error:
        metadata, reason = {}, reason or str(error)
    refused = reason is not None and not is_other_part(scan)
    return replace(scan, metadata=metadata, skip_reason=reason, is_refused=refused)


def _mark_twins(scans: Sequence[Scan]) -> list[Scan]:
    """Refuse scans whose derivatives would carry the names of an earlier scan's."""
    first: dict[frozenset[tuple[str, str]], Scan] = {}
    for scan in scans:
        if scan.skip_reason is None:
            first.setdefault(frozenset(scan.entities.items()), scan)

    def marked(scan: Scan) -> Scan:
        twin = first.get(frozenset(scan.entities.items()), scan)
        if scan.skip_reason or twin is scan:
            return scan
        reason = f"{twin.path.name} has the same entities: keep one of the two"
        return replace(scan, skip_reason=reason, is_refused=True)

    return [marked(scan) for scan in scans]
