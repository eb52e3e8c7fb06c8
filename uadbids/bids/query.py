"""The FLAIR scans of a BIDS dataset, found with pybids; no image is opened here."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids.layout import BIDSLayout, BIDSLayoutIndexer, Query

from uadbids.bids.files import load_json
from uadbids.bids.folders import check_folders, check_root, known_labels
from uadbids.bids.scan import (
    ENTITIES,
    IMAGE_NAME,
    Scan,
    is_other_part,
    parse_entities,
    skip_reason,
)
from uadbids.errors import UsageError


def find_scans(
    bids_dir: Path,
    *,
    participant_label: Sequence[str] | None = None,
    session_label: Sequence[str] | None = None,
    filters: Mapping[str, Any] | None = None,
    database_dir: Path | None = None,
) -> list[Scan]:
    """Find every FLAIR of a raw BIDS dataset.

    Parameters
    ----------
    participant_label, session_label : sequence of str, optional
        Labels to keep, with or without ``sub-`` and ``ses-``; all when empty or ``None``.
    filters : Mapping, optional
        What `read_filters` returns: pybids entities, either flat or under ``"flair"``.
    database_dir : Path, optional
        Folder of a pybids database: read when it exists, else made (of the FLAIRs of the whole
        dataset). It is not refreshed when the dataset changes.

    Returns
    -------
    list of Scan
        Sorted by name; those with a `Scan.skip_reason` are to be reported and left alone.

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
    check_root(root)
    subjects = known_labels("sub-", participant_label, [root], root)
    folders = [root / f"sub-{label}" for label in subjects] or sorted(root.glob("sub-*"))
    sessions = known_labels("ses-", session_label, folders, root)
    if database_dir is None:
        check_folders(folders, sessions)
    layout = _open_layout(root, subjects, sessions, database_dir)
    sidecars = _by_folder(_select(layout, {"suffix": "FLAIR", "extension": ".json"}))
    # By name, not by suffix and extension: names in the wrong case are to be reported.
    images = _select(layout, {"datatype": "anat", **_flair_filters(filters or {})})
    scans = [_scan(path, root, sidecars) for path in images if IMAGE_NAME.fullmatch(path.name)]
    # A database holds the whole dataset, so the labels are applied once more.
    scans = [
        scan
        for scan in scans
        if (not subjects or scan.subject in subjects) and (not sessions or scan.session in sessions)
    ]
    if not scans:
        raise UsageError(
            f"No FLAIR image (sub-*/[ses-*/]anat/*_FLAIR.nii[.gz]) in {root} fits the labels and "
            "filters that were given; check them, or the names of the files."
        )
    return _mark_twins(sorted(scans, key=lambda scan: (scan.name, scan.path.name)))


def read_filters(path: Path) -> dict[str, Any]:
    """Read a ``--bids-filter-file``, for `find_scans`.

    It is JSON: entities -> value, list of values or null, either flat or, as fMRIPrep has it, under
    a query name (``{"flair": {"session": "1", "acquisition": null}}``).

    Raises
    ------
    UsageError
        If the file is missing, is not JSON or holds no object.
    """
    try:
        filters = load_json(Path(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read the BIDS filter file {path} as JSON: {error}") from error
    if not isinstance(filters, dict):
        raise UsageError(f'The BIDS filter file {path} must hold an object: {{"flair": {{...}}}}.')
    return filters


def _open_layout(
    root: Path, subjects: Sequence[str], sessions: Sequence[str], database_dir: Path | None
) -> BIDSLayout:
    """Index FLAIR images and sidecars; without a database, of the wanted folders alone."""
    if database_dir is not None:
        subjects, sessions = (), ()  # a later run may want the others from the same database
    subject, session = (
        "|".join(map(re.escape, labels)) or "[^/]+" for labels in (subjects, sessions)
    )
    flair = r"([^/]*_)?(?i:FLAIR\.(nii|nii\.gz|json))"
    keep = rf"{flair}|sub-({subject})(/ses-({session}))?(/anat)?(/{flair})?"
    # Metadata are merged in `_metadata`: pybids gives up on a whole dataset for one bad sidecar.
    indexer = BIDSLayoutIndexer(
        validate=False,
        ignore=[re.compile(rf"^(?!/({keep})$)")],
        index_metadata=False,
        config_filename=".none",  # a dataset does not change how its names are read
    )
    layout = BIDSLayout(root, validate=False, indexer=indexer, database_path=database_dir)
    if Path(layout.root) != root:
        raise UsageError(
            f"The database in {database_dir} describes {layout.root}, not {root}; "
            "give another --bids-database-dir."
        )
    return layout


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
    return {key: _filter_value(key, value, regex) for key, value in filters.items()}


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


def _scan(path: Path, root: Path, sidecars: Mapping[Path, Sequence[Path]]) -> Scan:
    stem = IMAGE_NAME.sub(r"\1", path.name)
    folder_label = path.relative_to(root).parts[0].removeprefix("sub-")
    scan = Scan(path, {"subject": folder_label, **parse_entities(stem)})
    reason = skip_reason(scan, root)
    try:
        metadata = _metadata(scan, root, sidecars)
    except ValueError as error:
        metadata, reason = {}, reason or str(error)
    refused = reason is not None and not is_other_part(scan)
    return replace(scan, metadata=metadata, skip_reason=reason, is_refused=refused)


def _metadata(scan: Scan, root: Path, sidecars: Mapping[Path, Sequence[Path]]) -> dict[str, Any]:
    """Merge the sidecars which apply to a scan, from the root down to its own folder."""
    metadata: dict[str, Any] = {}
    inside = [folder for folder in scan.path.parents if folder.is_relative_to(root)]
    for folder in reversed(inside):
        applicable = [
            (len(entities), path)
            for path in sidecars.get(folder, ())
            if (entities := _sidecar_entities(path)).items() <= scan.entities.items()
        ]
        for _, path in sorted(applicable):
            metadata.update(_read_sidecar(path))
    return metadata


def _sidecar_entities(path: Path) -> dict[str, str]:
    stem = path.name.removesuffix("FLAIR.json").rstrip("_")
    return parse_entities(stem) if stem else {}


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        content = load_json(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"its sidecar {path.name} cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"its sidecar {path.name} holds no JSON object")
    return content


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
