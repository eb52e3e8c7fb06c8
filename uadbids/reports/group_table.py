"""One row a scan for a whole study: what its sidecar records, in columns with units."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uadbids.bids.files import json_bytes, tsv_bytes
from uadbids.bids.scan import Scan
from uadbids.qc.flags import flag_meanings

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of the table, and how the page shows it.

    Attributes
    ----------
    name : str
        Heading in the table, lower case with underscores.
    source : str or callable
        Field of the sidecar, or what makes the value of a scan.
    description : str
        What the values are, and their range.
    units : str
        As BIDS writes them; empty for texts, counts and shares.
    title : str
        Heading on the page, which shows numbers as a strip plot; empty for columns that are in the
        table of the file alone.
    is_number : bool
        What is no finite number is then missing.
    is_skewed : bool
        Many small values and few large ones: drawn on a square-root axis.
    levels : mapping of str to str
        Words that may occur, and their meanings.
    """

    name: str
    source: str | Callable[[Scan], Any]
    description: str
    units: str = ""
    title: str = ""
    is_number: bool = True
    is_skewed: bool = False
    levels: Mapping[str, str] = field(default_factory=dict)

    def value(self, scan: Scan) -> Any:
        """Value of a scan; ``None`` where it is missing."""
        found = (
            scan.metadata.get(self.source) if isinstance(self.source, str) else self.source(scan)
        )
        if self.is_number:
            return _number(found)
        # A tab or a line break would shift the columns of the table.
        return " ".join(str(found).split()) if found is not None else None


def _number(value: Any) -> float | int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _numbers(scan: Scan, field: str) -> list[float]:
    """Numbers of a field that holds a list; none where one of them is missing."""
    values = scan.metadata.get(field)
    found = [_number(value) for value in values] if isinstance(values, list) else []
    return [value for value in found if value is not None] if None not in found else []


def _item(field: str, place: int) -> Callable[[Scan], float | None]:
    def value(scan: Scan) -> float | None:
        found = _numbers(scan, field)
        return found[place] if place < len(found) else None

    return value


def _largest_edge(scan: Scan) -> float | None:
    return max(_numbers(scan, "SourceVoxelSizeMm"), default=None)


def _bias_ratio(scan: Scan) -> float | None:
    found = _numbers(scan, "BiasFieldRange")
    return max(found) / min(found) if found and min(found) > 0 else None


def _lesion_share(scan: Scan) -> float | None:
    lesion, brain = (_number(scan.metadata.get(f"{of}VolumeMl")) for of in ("Lesion", "Brain"))
    return lesion / brain if lesion is not None and brain else None


def _seconds(scan: Scan) -> float | None:
    stages = scan.metadata.get("StageSeconds")
    found = [_number(value) for value in stages.values()] if isinstance(stages, Mapping) else []
    known = [value for value in found if value is not None]
    return round(sum(known), 2) if known else None


def _texts(scan: Scan, field: str) -> list[str]:
    values = scan.metadata.get(field)
    return [str(value) for value in values] if isinstance(values, list) else []


def _joined(name: str) -> Callable[[Scan], str | None]:
    return lambda scan: ",".join(dict.fromkeys(_texts(scan, name))) or None


def _warnings(scan: Scan) -> int:
    return len(dict.fromkeys(_texts(scan, "Warnings")))


def _text(name: str, source: str | Callable[[Scan], Any], description: str) -> Column:
    return Column(name, source, description, is_number=False)


# The order is that of the table and of the page. A new fact of the sidecar is one line here.
COLUMNS = (
    _text("participant_id", lambda scan: f"sub-{scan.subject}", "Participant"),
    _text("session_id", lambda scan: f"ses-{scan.session}" if scan.session else None, "Session"),
    _text("scan", lambda scan: scan.name, "Scan, by all entities in its name"),
    Column("flags", _joined("Flags"), "What to look at before this scan is trusted: one or more of "
           "the levels, separated by commas", is_number=False, levels=flag_meanings()),
    Column("warnings", _warnings, "Number of warnings in the sidecar"),
    Column("lesion_volume_ml", "LesionVolumeMl", "Volume found anomalous", "mL",
           "Lesion volume", is_skewed=True),
    Column("lesion_count", "LesionCount", "Connected components found anomalous", "",
           "Lesions", is_skewed=True),
    Column("largest_lesion_ml", "LargestLesionMl", "Volume of the largest component", "mL",
           "Largest lesion", is_skewed=True),
    Column("lesion_brain_fraction", _lesion_share,
           "Lesion volume divided by brain volume, from 0 to 1", "",
           "Lesion share of the brain", is_skewed=True),
    Column("brain_volume_ml", "BrainVolumeMl", "Volume of the brain mask", "mL", "Brain volume"),
    Column("examined_brain_fraction", "ExaminedBrainFraction",
           "Share of the brain mask that the model looked at, from 0 to 1", "", "Brain examined"),
    Column("lesion_rim_fraction", "LesionRimFraction",
           "Share of the lesion volume within 4 mm of the edge of the brain mask, from 0 to 1", "",
           "Findings at the mask boundary"),
    Column("reconstruction_error", "ReconstructionError",
           "Mean absolute error of the reconstruction, in scaled intensities", "",
           "Reconstruction error"),
    Column("reconstruction_error_percentile", "ReconstructionErrorPercentile",
           "Percentile of this error in the cohort that the model learnt from, from 0 to 100", "",
           "Error's percentile in the model's cohort"),
    Column("registration_overlap", "RegistrationOverlap",
           "Dice coefficient of the aligned brain mask and that of the template", "",
           "Overlap with the template"),
    Column("registration_gain", "RegistrationGain",
           "Mutual information with the template, divided by the highest with the template shifted "
           "by 8 mm", "", "Alignment against shifted by 8 mm"),
    Column("registration_angle_degrees", "RegistrationAngleDegrees",
           "Rotation of the rigid transform to the template", "degree", "Rotation"),
    Column("largest_voxel_edge_mm", _largest_edge,
           "Longest edge of a voxel of the scan: mostly the thickness of its slices", "mm",
           "Largest voxel edge"),
    *(Column(f"voxel_{axis}_mm", _item("SourceVoxelSizeMm", place),
             f"Size of the scan's voxels along the axis {axis} of the image", "mm")
      for place, axis in enumerate("ijk")),
    _text("field_of_view_cut", _joined("FieldOfViewCut"),
          "Sides on which the image cuts the brain off, separated by commas"),
    Column("orientation_ratio", "OrientationRatio",
           "Fit with the template divided by the best fit of the brain turned or mirrored", "",
           "Alignment against turned"),
    Column("t1w_correlation", "T1wCorrelation",
           "Correlation with the T1-weighted template over tissue: high if it is no FLAIR", "",
           "Correlation with T1w"),
    Column("ventricle_level", "VentricleLevel",
           "Darkest tenth of the ventricles divided by the median of the brain", "",
           "Ventricles to brain"),
    Column("bias_field_ratio", _bias_ratio,
           "Highest divided by lowest value of the bias field in the brain", "", "Bias field"),
    Column("intensity_clipped_fraction", "IntensityClippedFraction",
           "Share of the brain's voxels that are too bright for the model's scale", "",
           "Intensities clipped", is_skewed=True),
    Column("seconds", _seconds, "Time that all stages took together", "s", "Time"),
    _text("settings", lambda scan: None,
          "Number of the set of settings that the scan was made with (the columns that follow, up "
          "to brain_mask_method); 1 is the most frequent. Volumes of different sets do not "
          "compare"),
    _text("model", "Model", "Name of the model"),
    _text("model_sha256", "ModelSHA256", "SHA-256 of the model"),
    _text("uadbids_version", "UadbidsVersion", "Version of uadbids"),
    Column("threshold", "Threshold", "Threshold on the anomaly map, in the unit of the map"),
    _text("residual", "ResidualKind", "Kind of residual that the map holds"),
    Column("min_volume_mm3", "MinVolumeMm3", "Smaller components were left out", "mm^3"),
    _text("brain_mask_method", "BrainMaskMethod", "Where the brain mask comes from"),
    _text("device", "Device", "Where the model ran"),
)  # fmt: skip
SETTINGS = (
    "model",
    "model_sha256",
    "uadbids_version",
    "threshold",
    "residual",
    "min_volume_mm3",
    "brain_mask_method",
)


def group_rows(scans: Sequence[Scan]) -> list[Row]:
    """Make the rows of a study.

    Parameters
    ----------
    scans : sequence of Scan
        What `derivatives.finished_scans` gives.

    Returns
    -------
    list of dict
        One of each scan, in the same order, with the names of `COLUMNS` as keys; ``None`` where a
        value is missing.
    """
    rows = [{column.name: column.value(scan) for column in COLUMNS} for scan in scans]
    numbers = {key: str(number) for number, (key, _) in enumerate(_sets(rows), start=1)}
    for row in rows:
        row["settings"] = numbers[_settings(row)]
    return rows


def settings_of(rows: Sequence[Row]) -> list[Row]:
    """Count the sets of settings, the most frequent first: ``scans`` and the names of SETTINGS."""
    return [{"scans": count, **dict(zip(SETTINGS, key, strict=True))} for key, count in _sets(rows)]


def _settings(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in SETTINGS)


def _sets(rows: Sequence[Row]) -> list[tuple[tuple[Any, ...], int]]:
    """Count the scans of each set; equally frequent sets have an order of their own."""
    return sorted(Counter(map(_settings, rows)).items(), key=lambda item: (-item[1], str(item[0])))


def group_tables(rows: Sequence[Row]) -> dict[str, bytes]:
    """Return ``group_FLAIR.tsv`` and the JSON dictionary of its columns."""
    meanings: dict[str, Any] = {"Description": "One row for each finished scan."}
    for column in COLUMNS:
        units = {"Units": column.units} if column.units else {}
        levels = {"Levels": dict(column.levels)} if column.levels else {}
        meanings[column.name] = {"Description": column.description, **units, **levels}
    return {
        "group_FLAIR.tsv": tsv_bytes([column.name for column in COLUMNS], rows),
        "group_FLAIR.json": json_bytes(meanings),
    }
