"""What an evaluation leaves behind: tables, their dictionaries, the page, the inputs' hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uadbids import __version__
from uadbids.bids.derivatives import finished_scans
from uadbids.bids.files import file_sha256, json_bytes, tsv_bytes, write_bytes
from uadbids.bids.names import derivative_path
from uadbids.bids.scan import Scan
from uadbids.evaluation.cases import Reading
from uadbids.evaluation.pairs import Pair
from uadbids.evaluation.tables import COLUMNS, SUMMARY_COLUMNS
from uadbids.reports.evaluation import EvaluationReport, write_evaluation_page

_WHERE = {
    "orig": "the grid of each scan: everything in the image counts",
    "template": "the model's crop of the template grid: what lies outside does not count",
}


def told(scan: Scan, reading: Reading, healthy_dir: Path | None, seed: int) -> dict[str, Any]:
    """Gather what fixes the figures besides the images: CamelCase keys, for page and record."""
    healthy = {"HealthyScans": len(finished_scans(healthy_dir))} if healthy_dir else {}
    of_model = ("Model", "ModelSHA256", "ResidualKind", "ThresholdSource")
    return {
        "UadbidsVersion": __version__,
        **{key: scan.metadata.get(key) for key in of_model},
        "CountedOn": _WHERE[reading.space],
        "MaskValues": sorted(reading.mask_values) or "all above 0",
        "ErosionMm": reading.detection.erosion_mm,
        "MinVolumeMm3": reading.detection.min_volume_mm3,
        **healthy,
        "RandomSeed": seed,
    }


def hashes(pairs: Sequence[Pair], maps_dir: Path) -> list[dict[str, str]]:
    """Name every image that was measured, with its SHA-256.

    Parameters
    ----------
    pairs : sequence of Pair
        What was measured.
    maps_dir : Path
        Outputs of ``uadbids participant``.

    Returns
    -------
    list of dict
        ``scan``, ``file`` and ``sha256``; of the folders around a file nothing is told.
    """
    rows = []
    for pair in pairs:
        keys = ("native_lesions", "native_anomaly", "template_anomaly", "template_preproc")
        maps = [maps_dir / derivative_path(pair.scan, key) for key in keys]
        for path in (*maps, *pair.masks.values()):
            if path.is_file():
                row = {"scan": pair.scan.name, "file": path.name, "sha256": file_sha256(path)}
                rows.append(row)
    return rows


def write_evaluation(
    output_dir: Path, report: EvaluationReport, inputs: Sequence[Mapping[str, str]]
) -> Path:
    """Write tables, dictionaries, record, figures and page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    record = {
        **report.facts,
        "Command": report.command,
        "ThresholdKinds": report.kinds,
        "LeftOut": report.left_over,
        "Failures": report.failures,
        "Notes": report.notes,
        "Inputs": inputs,
    }
    contents = {
        "metrics.tsv": tsv_bytes(list(COLUMNS), report.rows),
        "metrics.json": json_bytes(COLUMNS),
        "summary.tsv": tsv_bytes(list(SUMMARY_COLUMNS), report.summary),
        "summary.json": json_bytes(SUMMARY_COLUMNS),
        "evaluation.json": json_bytes(record),
    }
    for name, content in contents.items():
        write_bytes(output_dir / name, content)
    return write_evaluation_page(output_dir / "evaluation.html", report)
