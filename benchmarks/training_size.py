"""How many scans a training needs: error and false positives after 5, 10 and 20 of them.

``python benchmarks/training_size.py SOURCES DERIVATIVES WORK [--steps 1000] [--seeds 3]``, where
DERIVATIVES holds ``nichart``, ``open-ms`` and ``healthy-few`` as ``uadbids SOURCES/<dataset>
DERIVATIVES/<dataset> participant`` made them. Everything but the number of scans is the same:
network, steps, the held-out scans that choose the epoch, and the scans set apart to be measured on
(`recipes/packaged/split.tsv`); a seed decides who is in, and smaller sets are part of larger ones.
Lesions are excluded as in the training of the packaged models.

To be affordable on one core the network sees 16 slices, through the lateral ventricles, and all
figures are of these; the map is the one without a reader. The threshold is calibrated on all
held-out participants, and on every choice of 1, 2, 3 and 5 of them: what is found then lies in the
range printed. (``uadbids train`` holds out 1, 2 and 5 beside 5, 10 and 20.) The last row is
``dense3d`` as packaged, with its reader and in the whole brain: only the threshold is calibrated
anew. WORK keeps scans, trainings and figures, which a second call goes on from.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from reader_sets import read

from uadbids.detection.detect import cut
from uadbids.detection.examine import Examination, examine, reconstruction_error
from uadbids.model.bundle import find_bundle, load_bundle
from uadbids.model.calibration import calibrate
from uadbids.model.config import MODELS, DetectionConfig, TrainConfig
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader
from uadbids.model.vae import VAE
from uadbids.training.fit import fit
from uadbids.training.healthy import Healthy, load_healthy, make_healthy, save_healthy

SPLIT = Path(__file__).parents[1] / "recipes" / "packaged" / "split.tsv"
# As in the training of the packaged models.
BRIGHT_Z, MARGIN = 4.0, 2
SIZES = (5, 10, 20)
HELD_OUT = (1, 2, 3, 5)
CPU = torch.device("cpu")
CROP = Crop((5, 6, 84), (160, 192, 16))


class Found(NamedTuple):
    """Means over the scans set apart; false positives in mL."""

    error: float
    threshold: float
    volume: float
    ranges: list[list[float]]  # lowest and highest volume, for each number of `HELD_OUT`


def scans(split: str, sources: Path, derivatives: Path, work: Path) -> Iterator[Healthy]:
    """Read the scans of a part of the split, lesions filled in."""
    with SPLIT.open() as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] == split]
    for row in rows:
        subject = f"{row['dataset']}-{row['subject']}"
        if not (work / f"{subject}.done").exists():
            entry = {"bids": row["dataset"], "participants": [row["subject"]]}
            for scan in read(entry, sources, derivatives):
                healthy = make_healthy(
                    scan.volume, scan.brain, scan.lesions if scan.lesions.any() else None,
                    subject=subject, brain_mask_method="",
                    bright_z=BRIGHT_Z, margin=MARGIN, seed=0,
                )  # fmt: skip
                save_healthy(healthy, work / f"{subject}_{scan.name}.npz")
            (work / f"{subject}.done").touch()
        yield from (load_healthy(path) for path in sorted(work.glob(f"{subject}_*.npz")))


def in_order(cohort: Sequence[Healthy], seed: int) -> list[Healthy]:
    """Shuffle; the first scan of everybody comes before the second of anybody."""
    shuffled = random.Random(seed).sample(list(cohort), len(cohort))
    seen: set[str] = set()
    first = [item for item in shuffled if not (item.subject in seen or seen.add(item.subject))]
    return [*first, *(item for item in shuffled if not any(item is one for one in first))]


def trained(
    chosen: Sequence[Healthy], held_out: Sequence[Healthy], steps: int, work: Path, name: str
) -> VAE:
    """Train, or read what an earlier call has trained."""
    config = TrainConfig(steps=steps, epoch_steps=50)
    torch.manual_seed(config.seed)
    model = VAE(MODELS["spatial2d"])
    samples, beside = ([item.sample(CROP) for item in part] for part in (chosen, held_out))
    fit(model, samples, beside, config, device=CPU, checkpoint=work / f"{name}.pt")
    return model


def measure(
    held_out: Sequence[Healthy],
    apart: Sequence[Healthy],
    model: VAE,
    crop: Crop = CROP,
    settings: DetectionConfig = DetectionConfig(),  # noqa: B008 - it is frozen
    reader: Reader | None = None,
) -> Found:
    """Calibrate on held-out scans, and count beside the lesions of others."""

    def look(item: Healthy) -> Examination:
        return examine(item.volume, item.mask, model, crop, settings, device=CPU, reader=reader)

    residuals: dict[str, list[np.ndarray]] = {}
    for item in held_out:
        found = look(item)
        values = found.anomaly_map[found.examined & ~item.excluded]
        residuals.setdefault(item.subject, []).append(values)
    looks = [(item, look(item)) for item in apart]
    rate, kind, least = settings.false_positive_rate, settings.residual, settings.min_volume_mm3

    def volume(people: Sequence[str]) -> tuple[float, float]:
        limit = calibrate([r for who in people for r in residuals[who]]).threshold(rate)
        marked = [(cut(found, limit, kind, least) > 0) & ~item.excluded for item, found in looks]
        return limit, float(np.mean([mask.sum() for mask in marked])) / 1000

    errors = [
        reconstruction_error(item.volume, found.reconstruction, item.mask, item.excluded, crop)
        for item, found in looks
    ]
    ranges = []
    for count in HELD_OUT:
        volumes = [volume(people)[1] for people in combinations(residuals, count)]
        ranges.append([min(volumes), max(volumes)])
    return Found(float(np.mean(errors)), *volume(list(residuals)), ranges)


def main() -> None:
    """Print one row for each number of scans and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("sources", "derivatives", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1, help="choices of scans")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    where = (args.sources, args.derivatives, args.work)
    cohort, held_out, apart = (list(scans(p, *where)) for p in ("train", "held out", "test"))
    print(f"{len(held_out)} scans held out, {len(apart)} set apart; {args.steps} steps")
    columns = ("scans", "people", "seed", "error", "threshold", "mL", *map(str, HELD_OUT))
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for seed in range(args.seeds):
        for size in SIZES:
            chosen, name = in_order(cohort, seed)[:size], f"{args.steps}-{seed}-{size}"
            model, done = trained(chosen, held_out, args.steps, args.work, name), args.work / name
            if not done.exists():
                done.write_text(json.dumps(measure(held_out, apart, model)))
            people = len({item.subject for item in chosen})
            print_row(f"{size} | {people} | {seed}", Found(*json.loads(done.read_text())))
    lender = load_bundle(find_bundle("dense3d"), device="cpu")
    card = lender.card
    found = measure(held_out, apart, lender.model, card.crop, card.detection, lender.reader)
    print_row("dense3d | |", found)


def print_row(start: str, found: Found) -> None:
    """Print one row of the table."""
    ranges = " | ".join(f"{low:.2f} to {high:.2f}" for low, high in found.ranges)
    figures = f"{found.error:.4f} | {found.threshold:.2f} | {found.volume:.2f}"
    print(f"| {start} | {figures} | {ranges} |", flush=True)


if __name__ == "__main__":
    main()
