"""What a run would do with each scan, by the same checks as the run itself."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uadbids import __version__
from uadbids.bids.derivatives import SOURCE_HASH, is_finished, marker_path
from uadbids.bids.files import file_sha256, read_json
from uadbids.bids.masks import BRAIN, find_mask
from uadbids.bids.scan import Scan
from uadbids.detection.threshold import choose_threshold
from uadbids.errors import ScanError, UsageError
from uadbids.model.bundle import Card
from uadbids.model.calibration import Calibration
from uadbids.preproc.config import choose_method
from uadbids.preproc.conform import check_image
from uadbids.run.options import RunOptions

# In words, where the name of the field will not do.
_WORDS = {SOURCE_HASH: "the image", "ModelSHA256": "the model", "UadbidsVersion": "uadbids"}
_COUNTED = {
    "done": "of them done before",
    "overwrite": "of them overwriting",
    "refuse": "refused",
    "skip": "skipped",
}


@dataclass(frozen=True)
class Entry:
    """What would become of a scan: run, done, overwrite, refuse or skip; and why."""

    scan: str
    verdict: str
    why: str
    path: str


def settings_of(card: Card, run: RunOptions, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides on outputs, by the names that their sidecars have for it."""
    kind, threshold, _ = choose_threshold(
        Calibration.from_dict(card.calibration), card.detection, **dict(settings)
    )
    return {
        "UadbidsVersion": __version__,
        "ModelSHA256": card.sha256,
        "RandomSeed": run.random_seed,
        "ResidualKind": kind,
        "Threshold": round(threshold, 6),
        "MinVolumeMm3": settings.get("min_volume_mm3", card.detection.min_volume_mm3),
    }


def changes(output_dir: Path, scan: Scan, wanted: Mapping[str, Any], run: RunOptions) -> list[str]:
    """Say in which settings the outputs of a scan differ from those that it would get now."""
    record = read_json(marker_path(output_dir, scan)) or {}
    mask = Path() if run.skull_strip == "mask" else None
    method = choose_method(run.skull_strip, scan.metadata, run.hd_bet_weights, mask)
    now = {**wanted, "BrainMaskMethod": method}
    with suppress(OSError):
        now[SOURCE_HASH] = file_sha256(scan.path)
    found = []
    for key, value in now.items():
        before = record.get(key)
        if not (before == value or _is_close(before, value)):
            short = key.endswith("SHA256")
            found.append(_WORDS.get(key, key) + ("" if short else f" {before} -> {value}"))
    return found


def _is_close(first: Any, second: Any) -> bool:
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    return numbers and math.isclose(first, second, rel_tol=1e-6)


def plan(
    scans: Sequence[Scan], bids_dir: Path, output_dir: Path, wanted: Mapping[str, Any],
    run: RunOptions,
) -> list[Entry]:  # fmt: skip
    """Judge every scan; of images the header is read, and the size of what follows it."""
    return [
        Entry(
            scan.name,
            *_verdict(scan, bids_dir, output_dir, wanted, run),
            # Not by `relative_to`, which stumbles over ".." in the path of the dataset.
            Path(os.path.relpath(scan.path, bids_dir)).as_posix(),
        )
        for scan in scans
    ]


def _verdict(
    scan: Scan, bids_dir: Path, output_dir: Path, wanted: Mapping[str, Any], run: RunOptions
) -> tuple[str, str]:
    if scan.skip_reason is not None:
        return "refuse" if scan.is_refused else "skip", scan.skip_reason
    try:
        check_image(scan.path)
        mask = find_mask(bids_dir, scan, BRAIN) if run.skull_strip == "mask" else None
        choose_method(run.skull_strip, scan.metadata, run.hd_bet_weights, mask)
    except (ScanError, UsageError) as error:
        return "refuse", str(error).removeprefix(f"{scan.path}: ")
    if not is_finished(output_dir, scan):
        return "run", "FLAIR"
    changed = changes(output_dir, scan, wanted, run)
    if changed:
        return "overwrite", f"outputs of other settings are there ({', '.join(changed)})"
    return "done", "outputs of the same settings are there"


def show(entries: Sequence[Entry], *, as_json: bool) -> str:
    """Write a plan as a table, names in full, or as JSON."""
    counts = {
        verdict: sum(entry.verdict == verdict for entry in entries)
        for verdict in ("run", *_COUNTED)
    }
    if as_json:
        text = {"scans": [asdict(entry) for entry in entries], "counts": counts}
        return json.dumps(text, indent=2, ensure_ascii=False)
    rows = [("scan", "verdict", "why"), *((e.scan, e.verdict, e.why) for e in entries)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows]
    would = counts["run"] + counts["done"] + counts["overwrite"]
    others = [
        f"; {counts[verdict]} {words}" for verdict, words in _COUNTED.items() if counts[verdict]
    ]
    return "\n".join([*lines, f"{would} of {len(entries)} scans would run{''.join(others)}"])
