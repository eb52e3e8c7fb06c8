"""Pairs that a table names (``--pairs``): files of any name, or finished scans, and masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uadbids.bids.derivatives import finished_scans
from uadbids.bids.foreign import read_tsv
from uadbids.errors import ScanError, UsageError
from uadbids.evaluation.images import read_mask
from uadbids.evaluation.metrics import map_figures, mask_figures
from uadbids.evaluation.pairs import Pair, Pairing
from uadbids.preproc.volume import read_canonical

REFERENCE, METHOD, KIND = "mask", "given files", "given"
"""What the tables call a mask without a name, what was compared with it, and its threshold."""
# Of a whole number, in single precision.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class FilePair:
    """A map or mask of findings, and the mask that a person drew."""

    name: str  # as in the table
    map: Path
    mask: Path
    reference: str = REFERENCE  # who drew it
    participant: str = ""  # as in the table, else the name
    threshold: float | None = None  # None: the map holds whole numbers, all above 0 are found


def read_file_pairs(table: Path) -> list[FilePair]:
    """Read pairs of files; paths are relative to the folder of the table.

    Columns are ``map`` and ``mask``; ``threshold`` for maps that are no masks of findings;
    ``reference`` where several people drew; ``participant_id`` for those with several scans.
    UsageError for a table that cannot be used.
    """
    pairs = []
    for row in _rows(table, "map"):
        cell = row.get("threshold", "").strip()
        try:
            threshold = None if cell in ("", "n/a") else float(cell)
        except ValueError as error:
            raise UsageError(f"{table}: the threshold {cell!r} is no number") from error
        pairs.append(
            FilePair(
                name=row["map"],
                map=table.parent / row["map"],
                mask=table.parent / row["mask"],
                reference=row.get("reference") or REFERENCE,
                participant=row.get("participant_id") or row["map"],
                threshold=threshold,
            )
        )
    return pairs


def read_scan_pairs(table: Path, maps_dir: Path) -> Pairing:
    """Read pairs of finished scans and masks; paths are relative to the folder of the table.

    Columns are ``scan``, as ``sub-01_ses-1``; ``mask``; and ``reference`` where several people
    drew. UsageError for a table that cannot be used, or a scan that is not finished.
    """
    scans = {scan.name: scan for scan in finished_scans(maps_dir)}
    masks: dict[str, dict[str, Path]] = {}
    for row in _rows(table, "scan"):
        name = row["scan"].removesuffix("_FLAIR")
        if name not in scans:
            raise UsageError(
                f"{table}: there is no finished scan {row['scan']} in {maps_dir} "
                f"(there are {len(scans)}, such as {next(iter(scans), 'none')})"
            )
        drawn = masks.setdefault(name, {})
        reference = row.get("reference") or REFERENCE
        if reference in drawn:
            raise UsageError(
                f"{table}: {name} has two masks called {reference}; name them in a column reference"
            )
        drawn[reference] = table.parent / row["mask"]
    alone = {name: f"{table.name} does not name it" for name in scans if name not in masks}
    pairs = tuple(Pair(scan, masks[name]) for name, scan in scans.items() if name in masks)
    return Pairing(pairs, alone)


def measure(
    pair: FilePair, values: frozenset[int], *, resample: bool
) -> tuple[dict[str, Any], list[str], np.ndarray | None]:
    """Compare a pair: a row of ``metrics.tsv``, what a reader should know, precision at recalls.

    Every voxel of the map counts: where the brain is, nobody said. ScanError if a file is missing
    or damaged, or a mask is none or lies elsewhere.
    """
    image = read_canonical(pair.map)
    data = image.data
    is_mask = bool((np.abs(data - np.round(data)) < _ROUNDING).all())
    if pair.threshold is None and not is_mask:
        raise ScanError(
            f"{pair.map}: it is no mask, which holds whole numbers; give the threshold of the map "
            "in a column threshold"
        )
    truth, notes = read_mask(pair.mask, image, values, resample=resample)
    found = data > (0.5 if pair.threshold is None else pair.threshold)
    everywhere = np.ones_like(truth)
    row: dict[str, Any] = {
        "participant_id": pair.participant,
        "scan": pair.name,
        "reference": pair.reference,
        "method": METHOD,
        "threshold_kind": KIND,
        "threshold": pair.threshold,
        **mask_figures(found, truth, everywhere, image.spacing),
        **dict.fromkeys(("specificity", "average_precision", "prevalence")),
    }
    curve = None
    if not is_mask:
        quality, curve = map_figures(data, truth, everywhere)
        row |= quality
    return row, notes, curve


def _rows(table: Path, first: str) -> list[Mapping[str, str]]:
    """Read rows that have both columns."""
    try:
        rows = read_tsv(table)
    except (OSError, ValueError) as error:
        raise UsageError(f"--pairs {table}: it cannot be read ({error})") from error
    if not rows:
        raise UsageError(f"--pairs {table}: the table is not there, or has no rows")
    for row in rows:
        if not (row.get(first) and row.get("mask")):
            raise UsageError(
                f"--pairs {table}: give a table with tabs between its columns {first} and mask, "
                "both filled in each row"
            )
    return list(rows)
