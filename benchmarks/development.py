"""Measure a bundle and the intensity baseline on the development cases; print one table.

``python benchmarks/development.py SOURCES COHORT BUNDLE --work-dir WORK [--write-card]``

SOURCES holds the BIDS datasets ``isbi-ms``, ``brats2013``, ``lgg``, ``nichart``, ``healthy-few``;
COHORT is what ``recipes/packaged/make_cohort.py`` made. Nobody who was trained on or held out is
measured. Lesions count inside the crop that the model examines. "Label-free" thresholds come from
the held-out scans at the same false-positive rate for all methods; "oracle" ones are the best
single threshold of a set, found on its own labels, and no method can know them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch

from uadbids.bids.query import Scan, find_scans
from uadbids.bundle import Bundle, load_bundle, save_bundle
from uadbids.core.calibration import calibrate
from uadbids.core.config import DetectionConfig
from uadbids.core.grid import TEMPLATE_SHAPE
from uadbids.core.lesions import robust_z
from uadbids.core.postprocess import segment
from uadbids.detect import Examination, examine
from uadbids.healthy import Healthy, read_healthy
from uadbids.workflows.environment import prepare_environment

SETS = {
    "MS (isbi-ms)": ("isbi-ms", "derivatives/raters", "*rater1_mask.nii.gz"),
    "tumours (brats2013)": ("brats2013", "derivatives/experts", "*_mask.nii.gz"),
    "tumours, thick slices (lgg)": ("lgg", "derivatives/manual", "*_mask.nii.gz"),
    "WMH (nichart, kept back)": ("nichart", "derivatives/dlwmls", "*_mask.nii.gz"),
}
KEPT_BACK = {f"{number:02d}" for number in range(19, 24)}
HEALTHY = ("kirby113", "synthsr")
BASELINE = "robust z of intensity (baseline)"
MEASURED_ON = (
    "development cases, never trained on or calibrated with; but the kind of residual, its "
    "smoothing and the default false-positive rate were chosen on them"
)
SPACING = (1.0, 1.0, 1.0)
RATES = (0.001, 0.003, 0.005, 0.01)


class Case(NamedTuple):
    """A labelled scan on the template grid."""

    group: str
    name: str
    volume: np.ndarray
    mask: np.ndarray
    lesions: np.ndarray


Examine = Callable[[np.ndarray, np.ndarray], Examination]


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice of two masks; two empty ones agree."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else float(2 * (found & truth).sum() / total)


def lesions_at(exam: Examination, threshold: float, settings: DetectionConfig) -> np.ndarray:
    """Cut a map as the product does."""
    found = segment(
        exam.anomaly_map,
        exam.examined,
        threshold=threshold,
        min_volume_mm3=settings.min_volume_mm3,
        spacing=SPACING,
    )
    return found > 0


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the precision-recall curve, by voxel."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    precision = hits / np.arange(1, hits.size + 1)
    return float(precision[truth[order]].mean()) if hits[-1] else float("nan")


def methods(bundle: Bundle) -> Iterator[tuple[str, Examine]]:
    """Each way of making a map, under its name in the table."""
    crop, settings, cpu = bundle.card.crop, bundle.card.detection, torch.device("cpu")

    def model(config: DetectionConfig) -> Examine:
        return lambda volume, mask: examine(
            volume, mask, bundle.model, crop, config, device=cpu, kind=config.residual
        )

    def intensity(volume: np.ndarray, mask: np.ndarray) -> Examination:
        exam = model(settings)(volume, mask)
        z = np.where(exam.examined, robust_z(volume, mask), 0)
        return exam._replace(anomaly_map=z.astype(np.float32))

    yield BASELINE, intensity
    for kind in ("positive", "hyperintense"):
        for smoothing in (0.6, 1.0, 1.4):
            config = replace(settings, residual=kind, smoothing_mm=smoothing)
            yield f"{bundle.card.name}, {kind}, smoothing {smoothing} mm", model(config)


def measure(
    examine_scan: Examine, held_out: list[Healthy], cases: list[Case], settings: DetectionConfig
) -> dict[str, dict[str, float]]:
    """Mean Dice and average precision by set, at label-free and oracle thresholds."""
    healthy = []
    for item in held_out:
        exam = examine_scan(item.volume, item.mask)
        healthy.append(exam.anomaly_map[exam.examined & ~item.excluded])
    calibration = calibrate(healthy)
    exams = [examine_scan(case.volume, case.mask) for case in cases]
    pooled = np.concatenate([e.anomaly_map[e.examined][::50] for e in exams])
    cuts = [calibration.threshold(rate) for rate in RATES]
    grid = [*cuts, *np.quantile(pooled[pooled > 0], 1 - np.logspace(-3.3, -0.9, 10))]
    rows: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(case.group for case in cases):
        members = [(c, e) for c, e in zip(cases, exams, strict=True) if c.group == group]
        row = rows[group] = {"cases": len(members)}
        for rate in RATES:
            cut = calibration.threshold(rate)
            found = [lesions_at(e, cut, settings) for _, e in members]
            if group == "healthy":
                row[f"false-positive ml at {rate:g}"] = mean(f.sum() / 1000 for f in found)
            else:
                pairs = zip(found, members, strict=True)
                row[f"Dice at {rate:g}"] = mean(dice(f, c.lesions) for f, (c, _) in pairs)
        if group != "healthy":
            row["Dice, oracle"] = max(
                mean(dice(lesions_at(e, cut, settings), c.lesions) for c, e in members)
                for cut in grid
            )
            row["average precision"] = mean(
                average_precision(e.anomaly_map[c.mask], c.lesions[c.mask]) for c, e in members
            )
    return rows


def mean(values: Iterator[float]) -> float:
    """Mean of any iterable."""
    return float(np.mean(list(values)))


def print_table(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print Markdown: one table a set, one row a method."""
    for group in next(iter(results.values())):
        columns = list(next(iter(results.values()))[group])
        cases = int(next(iter(results.values()))[group]["cases"])
        print(f"\n### {group}: {cases} cases\n")
        print("| method | " + " | ".join(columns[1:]) + " |")
        print("|---" * len(columns) + "|")
        for name, rows in results.items():
            print(f"| {name} | " + " | ".join(f"{rows[group][c]:.3f}" for c in columns[1:]) + " |")


def main() -> None:
    """Preprocess (or take from the work directory), measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("sources", "cohort", "bundle"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--nprocs", type=int, default=2)
    parser.add_argument("--write-card", action="store_true", help="put the figures into the card")
    args = parser.parse_args()
    work = args.work_dir.resolve()
    work.mkdir(exist_ok=True)
    prepare_environment(work, random_seed=20210301, threads=1)

    bundle = load_bundle(args.bundle, device="cpu")
    crop = bundle.card.crop.mask(TEMPLATE_SHAPE)
    held_out, cases = gather(args, work, crop)
    results = {}
    for name, way in methods(bundle):
        results[name] = measure(way, held_out, cases, bundle.card.detection)
    print_table(results)
    if args.write_card:
        chosen = bundle.card.detection
        own = f"{bundle.card.name}, {chosen.residual}, smoothing {chosen.smoothing_mm} mm"
        shown = {
            "this model": results[own],
            "baseline": results[BASELINE],
        }
        rounded = {
            who: {group: {k: round(v, 3) for k, v in row.items()} for group, row in rows.items()}
            for who, rows in shown.items()
        }
        shown = {"measured on": MEASURED_ON, **rounded}
        save_bundle(replace(bundle, card=replace(bundle.card, results=shown)), args.bundle)


def gather(
    args: argparse.Namespace, work: Path, crop: np.ndarray
) -> tuple[list[Healthy], list[Case]]:
    """Preprocess the held-out scans and the development cases."""
    from uadbids.bids.masks import LESIONS, find_mask
    from uadbids.preproc.config import PreprocConfig
    from uadbids.workflows.cohort import Source, preprocess_cohort
    from uadbids.workflows.options import RunOptions

    def run(sources: list[Source], name: str) -> dict[str, object]:
        options = RunOptions(work_dir=work, nprocs=args.nprocs)
        ready, crashes = preprocess_cohort(
            sources, PreprocConfig(), options, work / f"log_{name}", lambda *_: None
        )
        for crash in crashes:
            print(f"failed: {crash.reason}")
        return {item.name: item for item in ready}

    labels = (args.cohort / "held_out.txt").read_text().split()
    lesion_root = args.cohort / "derivatives" / "lesions"
    scans = find_scans(args.cohort, participant_label=labels)
    ready = run(
        [Source(s.name, s.path, s.metadata, find_mask(lesion_root, s, LESIONS)) for s in scans],
        "held_out",
    )
    subjects = {scan.name: scan.subject for scan in scans}
    held_out = [read_healthy(item, subjects[name], True, 0) for name, item in ready.items()]

    sources, groups = [], {}
    for group, (dataset, derivatives, pattern) in SETS.items():
        root = args.sources / dataset
        for scan in find_scans(root):
            masks = sorted((root / derivatives).glob(f"sub-{scan.subject}/**/{pattern}"))
            if masks and (dataset != "nichart" or scan.subject in KEPT_BACK):
                source = named(scan, dataset, masks[0])
                sources.append(source)
                groups[source.name] = group
    for scan in find_scans(args.sources / "healthy-few", participant_label=list(HEALTHY)):
        source = named(scan, "healthy-few", None)
        sources.append(source)
        groups[source.name] = "healthy"
    cases = []
    for name, item in run(sources, "cases").items():
        volume = np.asarray(nib.load(item.volume).dataobj, dtype=np.float32)
        mask = np.asarray(nib.load(item.mask).dataobj) > 0
        lesions = np.zeros(mask.shape, dtype=bool)
        if item.lesions:
            lesions = (np.asarray(nib.load(item.lesions).dataobj) > 0) & crop
        cases.append(Case(groups[name], name, volume, mask & crop, lesions))
    return held_out, cases


def named(scan: Scan, dataset: str, lesions: Path | None):  # noqa: ANN201
    """Source whose name tells the dataset."""
    from uadbids.workflows.cohort import Source

    return Source(f"{dataset.replace('-', '')}_{scan.name}", scan.path, scan.metadata, lesions)


if __name__ == "__main__":
    main()
