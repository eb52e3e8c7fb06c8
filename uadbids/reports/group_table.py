"""One row a scan for a whole study: what its sidecar records, in columns with units."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from uadbids.bids.facts import FACTS, Fact
from uadbids.bids.files import json_bytes, tsv_bytes
from uadbids.bids.ratings import RATINGS, Rating
from uadbids.bids.scan import FinishedScan
from uadbids.qc.flags import flag_meanings

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of the table, and how the page shows it."""

    name: str  # heading in the table, lower case with underscores
    # Field of the sidecar, or what makes the value of a scan.
    source: str | Callable[[FinishedScan], Any]
    description: str  # what the values are, and their range
    units: str = ""  # as BIDS writes them; empty for texts, counts and shares
    # Heading on the page, which shows numbers as a strip plot; empty for columns that are in the
    # table of the file alone.
    title: str = ""
    is_number: bool = True  # what is no finite number is then missing
    is_skewed: bool = False  # many small values and few large ones: drawn on a square-root axis
    levels: Mapping[str, str] = field(default_factory=dict)  # words that may occur -> meanings

    def value(self, scan: FinishedScan) -> Any:
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


def _numbers(scan: FinishedScan, field: str) -> list[float]:
    """Numbers of a field that holds a list; none where one of them is missing."""
    values = scan.metadata.get(field)
    found = [_number(value) for value in values] if isinstance(values, list) else []
    return [value for value in found if value is not None] if None not in found else []


def _edge(scan: FinishedScan, place: int) -> float | None:
    found = _numbers(scan, "SourceVoxelSizeMm")
    return found[place] if place < len(found) else None


def _bias_ratio(scan: FinishedScan) -> float | None:
    found = _numbers(scan, "BiasFieldRange")
    return max(found) / min(found) if found and min(found) > 0 else None


def _finding_share(scan: FinishedScan) -> float | None:
    found, brain = (_number(scan.metadata.get(f"{of}VolumeMl")) for of in ("Finding", "Brain"))
    return found / brain if found is not None and brain else None


def _seconds(scan: FinishedScan) -> float | None:
    stages = scan.metadata.get("StageSeconds")
    found = [_number(value) for value in stages.values()] if isinstance(stages, Mapping) else []
    known = [value for value in found if value is not None]
    return round(sum(known), 2) if known else None


def _texts(scan: FinishedScan, field: str) -> list[str]:
    values = scan.metadata.get(field)
    return [str(value) for value in values] if isinstance(values, list) else []


def _joined(name: str) -> Callable[[FinishedScan], str | None]:
    return lambda scan: ",".join(dict.fromkeys(_texts(scan, name))) or None


def _text(name: str, source: str | Callable[[FinishedScan], Any], description: str) -> Column:
    return Column(name, source, description, is_number=False)


_HEAD = (
    _text("participant_id", lambda scan: f"sub-{scan.subject}", "Participant"),
    _text("session_id", lambda scan: f"ses-{scan.session}" if scan.session else None, "Session"),
    _text("scan", lambda scan: scan.name, "Scan, by all entities in its name"),
    Column("flags", _joined("Flags"), "What to look at before this scan is trusted: one or more of "
           "the levels, separated by commas", is_number=False, levels=flag_meanings()),
    Column("warnings", lambda scan: len(set(_texts(scan, "Warnings"))),
           "Number of warnings in the sidecar"),
    Column("rating", lambda scan: None, "What a person thought of the result", is_number=False,
           levels=RATINGS),
    _text("note", lambda scan: None, "What a person wrote beside the rating"),
)  # fmt: skip
# Made of facts, by the fact that they follow.
_MADE = {
    "LargestFindingMl": (
        Column("finding_brain_fraction", _finding_share,
               "Volume found divided by brain volume, from 0 to 1", "",
               "Found share of the brain", is_skewed=True),
    ),
    "SourceVoxelSizeMm": (
        Column("largest_voxel_edge_mm",
               lambda scan: max(_numbers(scan, "SourceVoxelSizeMm"), default=None),
               "Longest edge of a voxel of the scan: mostly the thickness of its slices", "mm",
               "Largest voxel edge"),
        *(Column(f"voxel_{axis}_mm", partial(_edge, place=place),
                 f"Size of the scan's voxels along the axis {axis} of the image", "mm")
          for place, axis in enumerate("ijk")),
    ),
    "FieldOfViewCut": (
        _text("field_of_view_cut", _joined("FieldOfViewCut"),
              "Sides on which the image cuts the brain off, separated by commas"),
    ),
    "VentricleLevel": (
        Column("bias_field_ratio", _bias_ratio,
               "Highest divided by lowest value of the bias field in the brain", "", "Bias field"),
    ),
    "IntensityClippedFraction": (
        Column("seconds", _seconds, "Time that all stages took together", "s", "Time"),
        _text("settings", lambda scan: None,
              "Number of the set of settings that the scan was made with (the columns that follow, "
              "up to brain_mask_method); 1 is the most frequent. Volumes of different sets do not "
              "compare"),
    ),
}  # fmt: skip


def _columns_of(fact: Fact) -> tuple[Column, ...]:
    own = Column(fact.column, fact.key, fact.description, fact.units, fact.title,
                 fact.is_number, fact.is_skewed)  # fmt: skip
    return ((own,) if fact.column else ()) + _MADE.get(fact.key, ())


COLUMNS = (*_HEAD, *(column for fact in FACTS for column in _columns_of(fact)))
SETTINGS = (
    "model",
    "model_sha256",
    "uadbids_version",
    "threshold",
    "residual",
    "min_volume_mm3",
    "brain_mask_method",
)


def group_rows(
    scans: Sequence[FinishedScan], ratings: Mapping[str, Rating] = MappingProxyType({})
) -> list[Row]:
    """Make the rows of a study: one of each scan (`derivatives.finished_scans`), in their order.

    Keys are the names of `COLUMNS`; values that are missing are ``None``. Ratings are given by the
    name of the scan.
    """
    rows = [{column.name: column.value(scan) for column in COLUMNS} for scan in scans]
    numbers = {key: str(number) for number, (key, _) in enumerate(_sets(rows), start=1)}
    for row in rows:
        row["settings"] = numbers[_settings(row)]
        if row["scan"] in ratings:
            row |= {name: text or None for name, text in ratings[row["scan"]]._asdict().items()}
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
