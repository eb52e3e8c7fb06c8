"""Compare files of any name with masks that people drew, as a table pairs them."""

from typing import Any

from uadbids import __version__
from uadbids.bids.files import file_sha256
from uadbids.errors import ScanError, UsageError
from uadbids.evaluation.metrics import RECALLS
from uadbids.evaluation.pair_table import KIND, METHOD, FilePair, measure, read_file_pairs
from uadbids.evaluation.tables import Curve, Row, add_thirds, summarise
from uadbids.reports.evaluation import EvaluationReport
from uadbids.run.evaluate import EvaluateOptions, finish, mean_curves
from uadbids.run.progress import Progress
from uadbids.run.runlog import run_log

_KINDS = {KIND: "in the column threshold of the table; of a mask, all above 0 was found"}


def evaluate_files(options: EvaluateOptions) -> int:
    """Measure the pairs of `EvaluateOptions.pairs`, and write tables, figures and a page.

    The exit status is 0, or 1 when a pair could not be measured; UsageError when nothing can be.
    """
    if options.pairs is None:
        raise ValueError("There is no table of pairs.")
    pairs = read_file_pairs(options.pairs)
    if options.output_dir.exists() and not options.output_dir.is_dir():
        raise UsageError(f"the output folder {options.output_dir} is a file; give a folder")
    with run_log(options.output_dir, options.request) as log:
        log.status = _evaluate(options, pairs)
    return log.status


def _evaluate(options: EvaluateOptions, pairs: list[FilePair]) -> int:
    progress = Progress({})
    progress.note(f"uadbids {__version__}: {len(pairs)} pairs")
    rows: list[Row] = []
    curves: list[Curve] = []
    notes: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    for pair in pairs:
        try:
            row, doubts, curve = measure(
                pair, frozenset(options.mask_values), resample=options.resample_masks
            )
        except ScanError as error:
            failures[pair.name] = str(error)
            progress.note(f"{pair.name}: failed: {error}")
            continue
        rows.append(row)
        curves += [] if curve is None else [Curve(pair.reference, METHOD, curve)]
        if doubts:
            notes[pair.name] = doubts
        progress.note(f"{pair.name}: Dice {row['dice']:.3f}")
    if not rows:
        name, reason = next(iter(failures.items()))
        raise UsageError(f"no pair can be evaluated (the first, {name}: {reason})")
    rows = add_thirds(rows)
    facts: dict[str, Any] = {
        "UadbidsVersion": __version__,
        "CountedOn": "the grid of each map: everything in the image counts",
        "MaskValues": sorted(options.mask_values) or "all above 0",
        "RandomSeed": options.random_seed,
    }
    report = EvaluationReport(
        facts=facts,
        kinds=_KINDS,
        model=METHOD,
        summary=summarise(rows, [], METHOD, (), options.random_seed),
        rows=rows,
        recalls=RECALLS,
        curves=mean_curves(curves),
        notes=notes,
        failures=failures,
        left_over={},
        command=options.request.command,
    )
    inputs = [
        {"scan": pair.name, "file": path.name, "sha256": file_sha256(path)}
        for pair in pairs
        if pair.name not in failures
        for path in (pair.map, pair.mask)
    ]
    return finish(options.output_dir, report, inputs, progress)
