"""The outputs of one scan: written together, found again later."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uadbids.bids.files import (
    file_sha256,
    json_bytes,
    locked,
    read_json,
    replace_together,
    tsv_bytes,
)
from uadbids.bids.labels import label_description
from uadbids.bids.names import DERIVATIVES, derivative_path, figure_path
from uadbids.bids.scan import FinishedScan, NamedScan, Scan, parse_entities
from uadbids.bids.sidecar import COMPONENT_COLUMNS, sidecar

_TABLES: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], bytes]] = {
    ".tsv": lambda rows: tsv_bytes(list(COMPONENT_COLUMNS), rows),
    ".txt": label_description,
}
_MARKER = "native_lesions"
_MARKER_ENDING = "label-anomaly_mask.json"
HASHES = "OutputSHA256"
"""Field of the marker: file, from the root of the outputs -> SHA-256 of its content."""
SOURCE_HASH = "SourceSHA256"
"""Field of every sidecar: SHA-256 of the scan's image as it was read."""


def write_scan(
    output_dir: Path,
    scan: Scan,
    files: Mapping[str, Path],
    *,
    facts: Mapping[str, Any],
    summary: Mapping[str, Any],
    components: Sequence[Mapping[str, Any]] = (),
    figures: Mapping[str, Path] | None = None,
) -> list[Path]:
    """Write all outputs of one scan, or none, and remove those of an earlier run.

    Everything is copied to temporary names first and renamed then; the sidecar of
    ``native_lesions`` comes last, so a scan which has it is finished. It lists the hash of every
    other file: see `verify_scan`.

    Parameters
    ----------
    output_dir, scan
        Root of the output dataset, and the scan.
    files : Mapping[str, Path]
        Key of `names.DERIVATIVES` -> finished file (``.nii.gz``, or text for ``xfm``), which is
        copied. ``native_lesions`` must be among them.
    facts, summary : Mapping[str, Any]
        See `sidecar.sidecar`.
    components : sequence of Mapping
        Rows for the table beside ``native_components``: see `sidecar.COMPONENT_COLUMNS`.
    figures : Mapping[str, Path], optional
        Kind -> finished SVG file.

    Returns
    -------
    list of Path
        The files written, sorted.

    Raises
    ------
    ValueError
        If ``native_lesions`` is not among the files.
    ScanError
        If the scan's name cannot be kept.
    OSError
        If a file cannot be read or written; outputs of an earlier run are then left in peace.
    """
    if _MARKER not in files:
        raise ValueError(f"the files of {scan.name} do not hold {_MARKER}")
    targets: dict[Path, Path | bytes] = {}
    for key, path in files.items():
        content = sidecar(scan, key, files, facts=facts, summary=summary)
        targets[output_dir / derivative_path(scan, key)] = path
        targets[output_dir / derivative_path(scan, key, ".json")] = json_bytes(content)
        for extension in DERIVATIVES[key].tables:
            table = _TABLES[extension](components)
            targets[output_dir / derivative_path(scan, key, extension)] = table
    for kind, path in (figures or {}).items():
        targets[output_dir / figure_path(scan, kind)] = path
    last = marker_path(output_dir, scan)
    del targets[last]
    hashes = {
        str(target.relative_to(output_dir)): _sha256(content)
        for target, content in sorted(targets.items())
    }
    record = sidecar(scan, _MARKER, files, facts=facts, summary=summary)
    targets[last] = json_bytes({**record, HASHES: hashes})
    # Two runs that write one scan at once must not leave a mixture.
    with locked(last.parent):
        stale = set(scan_files(output_dir, scan)) - targets.keys()
        replace_together(targets, last=last, stale=stale)
    return sorted(targets)


def _sha256(content: Path | bytes) -> str:
    if isinstance(content, Path):
        return file_sha256(content)
    return hashlib.sha256(content).hexdigest()


def verify_scan(output_dir: Path, scan: NamedScan, source: Path | None = None) -> list[str]:
    """Compare the outputs of a scan with the hashes that were written with them.

    Returned is what is wrong, a clause each; nothing where all is as it was written. Of the scan
    its entities alone count; ``source`` is its image, to check that the outputs belong to it as it
    is now.
    """
    marker = marker_path(output_dir, scan)
    record = read_json(marker)
    if record is None:
        return ["the scan is not finished"]
    hashes = record.get(HASHES)
    if not isinstance(hashes, dict):
        return [f"{marker.name} records no hashes"]
    present = {str(path.relative_to(output_dir)) for path in scan_files(output_dir, scan)}
    present -= {str(marker.relative_to(output_dir))}
    found = [f"{name} is missing" for name in hashes if name not in present]
    found += [f"{name} is not of this set" for name in sorted(present - hashes.keys())]
    found += [
        f"{name} is not as it was written"
        for name, sha256 in hashes.items()
        if name in present and file_sha256(output_dir / name) != sha256
    ]
    if source is not None and source.is_file() and record.get(SOURCE_HASH) != file_sha256(source):
        found.append(f"{source.name} is not the image that they were made from")
    return found


def marker_path(output_dir: Path, scan: NamedScan) -> Path:
    """Return the file whose presence says that a scan is finished."""
    return output_dir / derivative_path(scan, _MARKER, ".json")


def is_finished(output_dir: Path, scan: NamedScan) -> bool:
    """Return whether the outputs of a scan are in place; `verify_scan` looks into them."""
    record = read_json(marker_path(output_dir, scan))
    return record is not None and _complete(output_dir, record)


def _complete(output_dir: Path, record: Mapping[str, Any]) -> bool:
    """Return whether every file that a marker lists is there."""
    hashes = record.get(HASHES)
    return not isinstance(hashes, dict) or all((output_dir / name).is_file() for name in hashes)


def scan_files(output_dir: Path, scan: NamedScan) -> list[Path]:
    """List the outputs of a scan which exist: images, sidecars, tables and figures."""
    named = [
        output_dir / derivative_path(scan, key, extension)
        for key, derivative in DERIVATIVES.items()
        for extension in derivative.extensions
    ]
    pattern = output_dir / figure_path(scan, "*")
    return [path for path in named if path.is_file()] + sorted(pattern.parent.glob(pattern.name))


def finished_scans(output_dir: Path, subject: str | None = None) -> list[FinishedScan]:
    """Find the finished scans of an output dataset or of one participant, sorted by name."""
    marked = _marked_scans(output_dir, subject)
    return [scan for scan, record in marked if _complete(output_dir, record)]


def verify_outputs(output_dir: Path, bids_dir: Path) -> dict[str, list[str]]:
    """Return what `verify_scan` says of every scan that was ever finished, by its name."""
    return {
        scan.name: verify_scan(output_dir, scan, _source_path(bids_dir, scan))
        for scan, _ in _marked_scans(output_dir)
    }


def _marked_scans(
    output_dir: Path, subject: str | None = None
) -> list[tuple[FinishedScan, dict[str, Any]]]:
    """Find the scans that have a marker, each with what the marker records."""
    folder = f"sub-{subject or '*'}"
    found = []
    for pattern in (f"{folder}/anat", f"{folder}/ses-*/anat"):
        # With "sub-" in front: a killed process may have left it under a temporary name.
        for path in output_dir.glob(f"{pattern}/sub-*_space-orig_*{_MARKER_ENDING}"):
            record = read_json(path)
            if record is not None:
                image = path.with_name(path.name.replace(".json", ".nii.gz"))
                facts = {key: value for key, value in record.items() if key != HASHES}
                found.append((FinishedScan(image, _source_entities(path), facts), record))
    return sorted(found, key=lambda pair: pair[0].name)


def _source_path(bids_dir: Path, scan: FinishedScan) -> Path | None:
    """Return the image that a finished scan says it was made from, in the raw dataset."""
    sources = scan.metadata.get("Sources")
    uris = sources if isinstance(sources, list) else []
    raw = [uri.removeprefix("bids:raw:") for uri in uris if str(uri).startswith("bids:raw:")]
    outside = not raw or Path(raw[0]).is_absolute() or ".." in Path(raw[0]).parts
    return None if outside else bids_dir / raw[0]


def _source_entities(path: Path) -> dict[str, str]:
    """Return the entities of the scan from the name of its mask of findings."""
    ours = DERIVATIVES[_MARKER].entities
    entities = parse_entities(path.name.rpartition("_")[0])
    return {key: value for key, value in entities.items() if key not in ours}
