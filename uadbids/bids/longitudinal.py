"""The outputs of a comparison of sessions: written together, found again later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uadbids.bids.files import json_bytes, locked, read_json, replace_together, tsv_bytes
from uadbids.bids.foreign import read_tsv
from uadbids.bids.names import (
    TEMPLATE_SPACE,
    TEMPLATE_T1W,
    Derivative,
    derivative_path,
    follow_up_figure,
    follow_up_path,
    path_of,
)
from uadbids.bids.scan import FinishedScan
from uadbids.bids.sidecar import COMPONENT_COLUMNS

_SPACE: dict[str, object] = {"SpatialReference": f"bids::{TEMPLATE_T1W}"}
_COMMON = {"space": TEMPLATE_SPACE, "desc": "longitudinal", "extension": ".nii.gz"}
_NUMBERS = (
    "Number of the family (index in the table of the comparison) where it is present in this "
    "session; 0 is background"
)
IMAGES: Mapping[str, Derivative] = {
    "volume": Derivative(
        {**_COMMON, "suffix": "FLAIR"},
        "This session, aligned with the others of the participant half-way between them on the "
        "template grid, resampled once, with grey values that compare",
        (),
        fields={**_SPACE, "SkullStripped": True, "Units": "arbitrary"},
    ),
    "common": Derivative(
        {**_COMMON, "suffix": "dseg", "segmentation": "anomaly"},
        f"{_NUMBERS}. On the grid that all sessions share",
        (),
        fields=_SPACE,
    ),
    "native": Derivative(
        {**_COMMON, "space": "orig", "suffix": "dseg", "segmentation": "anomaly"},
        f"{_NUMBERS}. On the grid of the scan",
        (),
        fields={"SpatialReference": "orig"},
    ),
}
"""Images of each session."""

EXAMINED = ("SourceSHA256", "ModelSHA256", "Threshold")
"""What shows whether a session has been examined anew since it was compared."""

COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "index": {"Description": "Number of the family in the images, 1 for the largest: findings of "
              "several sessions that overlap, split and merged ones together",
              "Format": "integer"},
    "status": {
        "Description": "What has become of it; n/a where sessions cannot be compared, see "
        "NotComparable, or where one was not examined there",
        "Levels": {
            "new": "A finding, and nothing near one at its place before",
            "enlarging": "Larger, by more than repeated scans differ in 95 of 100 cases",
            "stable": "No more different than repeated scans are",
            "shrinking": "Smaller, by more than repeated scans differ in 95 of 100 cases",
            "gone": "A finding before, and nothing near one at its place now",
        },
    },
    "from": {"Description": "Earlier session"},
    "to": {"Description": "Later session"},
    "volume_from_ml": {"Description": "Volume in the earlier session, on the common grid, at half "
                       "of its height there", "Units": "mL"},
    "volume_to_ml": {"Description": "Volume in the later session, measured alike", "Units": "mL"},
    "difference_ml": {"Description": "Later volume minus earlier", "Units": "mL"},
    "limit_ml": {"Description": "Repeated scans of an unchanged finding of this size differ by "
                 "less, in 95 of 100 cases", "Units": "mL"},
    "findings_from": {"Description": "Findings of the earlier session in the family"},
    "findings_to": {"Description": "Findings of the later session in the family"},
    "tag": {"Description": "How far to trust it, in the session where it is largest: likely, check "
            "or likely-artefact"},
    **{
        name: COMPONENT_COLUMNS[name]
        for name in ("reason", "location", "mni_x_mm", "mni_y_mm", "mni_z_mm")
    },
}  # fmt: skip


@dataclass(frozen=True)
class FinishedComparison:
    """What lies in the output dataset of one comparison: names of sessions, record, table."""

    sessions: tuple[str, ...]
    record: Mapping[str, Any]
    rows: Sequence[Mapping[str, str]]


def write_comparison(
    output_dir: Path,
    scans: Sequence[FinishedScan],
    images: Mapping[str, Sequence[Path]],
    figures: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> list[Path]:
    """Write all outputs of one comparison, or none; those of an earlier one go.

    Scans are in the order of time, images (keys of `IMAGES`) and figures (SVG) one a scan; rows are
    of `COLUMNS`, facts what else is said of the comparison, in CamelCase keys. The sidecar of the
    table is written last; returned are all files, sorted.
    """
    subject = scans[0].subject
    common = {key: value for key, value in facts.items() if key in _IN_ALL}
    targets: dict[Path, Path | bytes] = {}
    for key, files in images.items():
        for scan, file in zip(scans, files, strict=True):
            text = {
                "Description": f"{IMAGES[key].description}.",
                "Sources": _sources(scans if key != "volume" else [scan]),
                **IMAGES[key].fields,
                **common,
            }
            targets[output_dir / path_of(scan, IMAGES[key])] = file
            targets[output_dir / path_of(scan, IMAGES[key], ".json")] = json_bytes(text)
    for scan, figure in zip(scans, figures, strict=True):
        targets[output_dir / follow_up_figure(scan)] = figure
    targets[output_dir / follow_up_path(subject, ".tsv")] = tsv_bytes(list(COLUMNS), rows)
    last = output_dir / follow_up_path(subject, ".json")
    record = {
        "Description": "Findings of several sessions compared.",
        "Sources": _sources(scans),
        **COLUMNS,
        "Sessions": [scan.name for scan in scans],
        "Examined": {scan.name: examined(scan) for scan in scans},
        **facts,
    }
    targets[last] = json_bytes(record)
    with locked(output_dir / f"sub-{subject}"):
        stale = set(comparison_files(output_dir, subject)) - targets.keys()
        replace_together(targets, last=last, stale=stale)
    return sorted(targets)


def examined(scan: FinishedScan) -> dict[str, Any]:
    """Return of which file a session's outputs are, and by which settings."""
    return {key: scan.metadata.get(key) for key in EXAMINED}


def comparison_files(output_dir: Path, subject: str) -> list[Path]:
    """List the outputs of the comparison of a participant which exist, but for the page."""
    folder = output_dir / f"sub-{subject}"
    found: list[Path] = []
    for pattern in ("*_desc-longitudinal_findings.*", "anat/*_desc-longitudinal_*",
                    "ses-*/anat/*_desc-longitudinal_*", "figures/*_longitudinal.svg"):  # fmt: skip
        # With "sub-" in front: a killed process may have left it under a temporary name.
        found += folder.glob(pattern.replace("*_", "sub-*_"))
    return sorted(found)


def finished_comparison(output_dir: Path, subject: str) -> FinishedComparison | None:
    """Read the comparison of a participant; None where there is none."""
    record = read_json(output_dir / follow_up_path(subject, ".json"))
    if record is None or not isinstance(record.get("Sessions"), list):
        return None
    rows = read_tsv(output_dir / follow_up_path(subject, ".tsv"))
    return FinishedComparison(tuple(record["Sessions"]), record, rows)


_IN_ALL = ("UadbidsVersion", "Model", "ModelSHA256", "Threshold", "ThresholdSource", "RandomSeed")


def _sources(scans: Sequence[FinishedScan]) -> list[str]:
    raw = [
        uri
        for scan in scans
        for uri in scan.metadata.get("Sources", ())
        if str(uri).startswith("bids:raw:")
    ]
    return raw + [
        f"bids::{derivative_path(scan, key)}" for scan in scans for key in ("native_brain", "xfm")
    ]
