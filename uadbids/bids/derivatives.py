"""The outputs of one scan: written together, found again later."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uadbids.bids.files import json_bytes, read_json, replace_together, tsv_bytes
from uadbids.bids.names import DERIVATIVES, derivative_path, figure_path
from uadbids.bids.scan import Scan, parse_entities
from uadbids.bids.sidecar import COMPONENT_COLUMNS, sidecar

_MARKER = "native_lesions"
_MARKER_ENDING = "label-anomaly_mask.json"


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
    ``native_lesions`` comes last, so a scan which has it is finished.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    scan : Scan
        The scan.
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
            table = tsv_bytes(list(COMPONENT_COLUMNS), components)
            targets[output_dir / derivative_path(scan, key, extension)] = table
    for kind, path in (figures or {}).items():
        targets[output_dir / figure_path(scan, kind)] = path
    stale = set(scan_files(output_dir, scan)) - targets.keys()
    replace_together(targets, last=marker_path(output_dir, scan), stale=stale)
    return sorted(targets)


def marker_path(output_dir: Path, scan: Scan) -> Path:
    """Return the file whose presence says that a scan is finished."""
    return output_dir / derivative_path(scan, _MARKER, ".json")


def is_finished(output_dir: Path, scan: Scan) -> bool:
    """Tell whether all outputs of a scan are in place."""
    return marker_path(output_dir, scan).is_file()


def scan_files(output_dir: Path, scan: Scan) -> list[Path]:
    """List the outputs of a scan which exist: images, sidecars, tables and figures."""
    named = [
        output_dir / derivative_path(scan, key, extension)
        for key, derivative in DERIVATIVES.items()
        for extension in derivative.extensions
    ]
    pattern = output_dir / figure_path(scan, "*")
    return [path for path in named if path.is_file()] + sorted(pattern.parent.glob(pattern.name))


def finished_scans(output_dir: Path, subject: str | None = None) -> list[Scan]:
    """Find the scans which are finished in an output dataset.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    subject : str, optional
        Label of one participant, without ``sub-``; all when ``None``.

    Returns
    -------
    list of Scan
        Sorted by name. `Scan.path` is the lesion mask in the scan's space, `Scan.metadata` its
        sidecar (provenance and summary), `Scan.entities` are those of the scan itself, so that
        `derivative_path` and `figure_path` lead to all of its outputs.
    """
    folder = f"sub-{subject or '*'}"
    scans = [
        Scan(path.with_name(path.name.replace(".json", ".nii.gz")), _source_entities(path), facts)
        for pattern in (f"{folder}/anat", f"{folder}/ses-*/anat")
        for path in output_dir.glob(f"{pattern}/*_space-orig_*{_MARKER_ENDING}")
        if isinstance(facts := read_json(path), dict)
    ]
    return sorted(scans, key=lambda scan: scan.name)


def _source_entities(path: Path) -> dict[str, str]:
    """Return the entities of the scan from the name of its lesion mask."""
    ours = DERIVATIVES[_MARKER].entities
    entities = parse_entities(path.name.rpartition("_")[0])
    return {key: value for key, value in entities.items() if key not in ours}
