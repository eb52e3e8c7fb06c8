"""Compare the maps of a dataset with masks that people drew, and with simple baselines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from uadbids import __version__
from uadbids.bids.dataset import MODEL_CARD
from uadbids.bids.derivatives import finished_scans
from uadbids.bids.files import file_sha256, json_bytes, read_json, tsv_bytes, write_bytes
from uadbids.bids.names import derivative_path
from uadbids.bids.scan import FinishedScan
from uadbids.errors import ScanError, UsageError
from uadbids.evaluation.baselines import Method, baselines, model_of, plain_residual
from uadbids.evaluation.cases import Case, Detection, Reading, read_case, read_detection
from uadbids.evaluation.metrics import RECALLS
from uadbids.evaluation.pair_table import read_scan_pairs
from uadbids.evaluation.pairs import Pair, Pairing, find_pairs, read_filters
from uadbids.evaluation.protocol import KINDS, find_thresholds
from uadbids.evaluation.tables import (
    COLUMNS,
    SUMMARY_COLUMNS,
    Curve,
    Row,
    add_thirds,
    score_case,
    summarise,
)
from uadbids.reports.evaluation import EvaluationReport, write_evaluation_page
from uadbids.run.progress import Progress
from uadbids.run.runlog import NO_REQUEST, Request, run_log, writing_to
from uadbids.run.setup import is_inside, lies_in_dataset

# Of what is not paired, as many are reported while it runs.
_SHOWN = 10
_WHERE = {
    "orig": "the grid of each scan: everything in the image counts",
    "template": "the model's crop of the template grid: what lies outside does not count",
}


@dataclass(frozen=True)
class EvaluateOptions:
    """What is to be evaluated."""

    maps_dir: Path  # outputs of ``uadbids participant``
    masks_dir: Path | None  # dataset with lesion masks; None where a table names them
    output_dir: Path  # where tables go
    mask_filters: tuple[str, ...] = ()  # see `pairs.read_filters`
    mask_values: tuple[int, ...] = ()  # of a mask, that are lesion; empty for all above 0
    space: str = "orig"  # see `cases.Reading`
    resample_masks: bool = False  # bring masks of other grids to that of the scan
    with_baselines: bool = True
    healthy_dir: Path | None = None  # outputs of the same model for healthy scans
    random_seed: int = 0  # of halves, bootstrap and permutations
    pairs: Path | None = None  # table of pairs, see `pair_table`
    request: Request = NO_REQUEST


def evaluate(options: EvaluateOptions) -> int:
    """Measure, and write tables, figures and a page.

    The exit status is 0, or 1 when a pair could not be measured; UsageError when nothing can be.
    """
    _check(options)
    if options.pairs is not None:
        pairing = read_scan_pairs(options.pairs, options.maps_dir)
    elif options.masks_dir is not None:
        filters = read_filters(options.mask_filters)
        pairing = find_pairs(options.maps_dir, options.masks_dir, filters)
    detection = read_detection(options.maps_dir)
    model = model_of([pair.scan for pair in pairing.pairs])
    with run_log(options.output_dir, options.request) as log:
        log.status = _evaluate(options, pairing, detection, model)
    return log.status


def _evaluate(
    options: EvaluateOptions, pairing: Pairing, detection: Detection, model: Method
) -> int:
    progress = Progress({})
    progress.note(f"uadbids {__version__}: {len(pairing.pairs)} scans with masks")
    for left, reason in list(pairing.left_over.items())[:_SHOWN]:
        progress.note(f"left out: {left}: {reason}")
    if len(pairing.left_over) > _SHOWN:
        progress.note(f"left out: {len(pairing.left_over)} in all; the page lists them")
    given = options.maps_dir, options.healthy_dir
    simple = baselines(*given, detection) if options.with_baselines else []
    plain = [] if model.in_intensity else [plain_residual(model)]
    methods = [model, *plain, *simple]
    reading = Reading(
        options.maps_dir,
        detection,
        options.space,
        frozenset(options.mask_values),
        options.resample_masks,
    )
    # By scan, as they become known.
    failures: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    cases = partial(_cases, pairing.pairs, reading, failures, notes, progress)
    progress.note("looking for thresholds")
    plans = find_thresholds(cases, methods, options.random_seed)
    if not plans:
        scan, reason = next(iter(failures.items()))
        raise UsageError(f"no scan can be evaluated (the first, {scan}: {reason})")
    rows: list[Row] = []
    curves: list[Curve] = []
    for case in cases():
        scored, drawn = score_case(case, methods, plans)
        rows += scored
        curves += drawn
        progress.note(f"{case.scan.name}: measured")
    rows = add_thirds(rows)
    summary = summarise(
        rows, plans, model.name, {method.name for method in simple}, options.random_seed
    )
    measured = [pair for pair in pairing.pairs if pair.scan.name not in failures]
    report = EvaluationReport(
        facts=_facts(measured[0].scan, reading, options.healthy_dir, options.random_seed),
        kinds={kind: text for kind, text in KINDS.items() if any(p.kind == kind for p in plans)},
        model=model.name,
        summary=summary,
        rows=rows,
        recalls=RECALLS,
        curves=mean_curves(curves),
        notes=notes,
        failures=failures,
        left_over=pairing.left_over,
        command=options.request.command,
        card=read_json(options.maps_dir / MODEL_CARD) or {},
    )
    return finish(options.output_dir, report, _hashes(measured, options.maps_dir), progress)


def _check(options: EvaluateOptions) -> None:
    if options.space not in _WHERE:
        raise UsageError(f"--space {options.space}: choose one of {', '.join(_WHERE)}")
    if options.healthy_dir is not None and not options.with_baselines:
        raise UsageError("--healthy-maps is for the baselines: leave out --no-baselines")
    inside = [options.maps_dir] if is_inside(options.output_dir, options.maps_dir) else []
    masks_dir = options.masks_dir
    inside += [masks_dir] if masks_dir and lies_in_dataset(options.output_dir, masks_dir) else []
    if inside:
        raise UsageError(
            f"the output folder {options.output_dir} lies inside {inside[0]}; choose one outside"
        )
    if options.output_dir.exists() and not options.output_dir.is_dir():
        raise UsageError(f"the output folder {options.output_dir} is a file; give a folder")


def _cases(
    pairs: Sequence[Pair],
    reading: Reading,
    failures: dict[str, str],
    notes: dict[str, list[str]],
    progress: Progress,
) -> Iterator[Case]:
    """Read one scan after the other; one that cannot be read is reported once and left out."""
    for pair in pairs:
        name = pair.scan.name
        if name in failures:
            continue
        try:
            case = read_case(pair, reading)
        except ScanError as error:
            failures[name] = str(error)
            progress.note(f"{name}: failed: {error}")
            continue
        if case.notes and name not in notes:
            notes[name] = list(case.notes)
            for note in case.notes:
                progress.note(f"{name}: {note}")
        yield case


def mean_curves(curves: Sequence[Curve]) -> dict[tuple[str, str], np.ndarray]:
    """Average precision at equal recall over the scans with lesions."""
    grouped: dict[tuple[str, str], list[np.ndarray]] = {}
    for curve in curves:
        if np.isfinite(curve.precision).all():
            grouped.setdefault((curve.reference, curve.method), []).append(curve.precision)
    return {key: np.mean(several, axis=0) for key, several in grouped.items()}


def _facts(
    scan: FinishedScan, reading: Reading, healthy_dir: Path | None, seed: int
) -> dict[str, Any]:
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


def _hashes(pairs: Sequence[Pair], maps_dir: Path) -> list[dict[str, str]]:
    """Name every image that was measured, with its SHA-256; not the folders around it."""
    keys = ("native_lesions", "native_anomaly", "template_anomaly", "template_preproc")
    return [
        {"scan": pair.scan.name, "file": path.name, "sha256": file_sha256(path)}
        for pair in pairs
        for path in (
            *(maps_dir / derivative_path(pair.scan, k) for k in keys),
            *pair.masks.values(),
        )
        if path.is_file()
    ]


def finish(
    output_dir: Path,
    report: EvaluationReport,
    inputs: Sequence[Mapping[str, str]],
    progress: Progress,
) -> int:
    """Write tables, dictionaries, record, figures and page; return the exit status."""
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
    with writing_to(output_dir):
        for name, content in contents.items():
            write_bytes(output_dir / name, content)
        page = write_evaluation_page(output_dir / "evaluation.html", report)
    progress.note(f"done: {page}")
    return 1 if report.failures else 0
