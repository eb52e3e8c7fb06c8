"""Measure what bundles mark in their held-out scans, and write it into their cards.

``python recipes/packaged/expected_findings.py SOURCES DERIVATIVES BUNDLE...`` where DERIVATIVES
holds a folder for each dataset, as ``uadbids SOURCES/<dataset> DERIVATIVES/<dataset> participant``
made it. To be run whenever the weights, the calibration or the map of a bundle change: pages put
these volumes beside that of a scan. Held-out scans are those of ``split.tsv``; their lesions (masks
of ``derivatives/dlwmls``, else voxels too bright for normal tissue) are filled in as for training.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from reader_sets import read

from uadbids.model.bundle import load_bundle, save_bundle
from uadbids.training.healthy import Healthy, make_healthy, measure_on

# As in the training of the packaged models.
BRIGHT_Z, MARGIN = 4.0, 2


def held_out(sources: Path, derivatives: Path) -> Iterator[Healthy]:
    """Read the held-out scans, lesions filled in."""
    with (Path(__file__).parent / "split.tsv").open() as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] == "held out"]
    for row in rows:
        entry = {"bids": row["dataset"], "participants": [row["subject"]]}
        for scan in read(entry, sources, derivatives):
            yield make_healthy(
                scan.volume, scan.brain, scan.lesions if scan.lesions.any() else None,
                subject=scan.name, brain_mask_method="", bright_z=BRIGHT_Z, margin=MARGIN, seed=0,
            )  # fmt: skip


def main(sources: Path, derivatives: Path, folders: list[Path]) -> None:
    """Measure, print, write."""
    scans = list(held_out(sources, derivatives))
    for folder in folders:
        bundle = load_bundle(folder, device="cpu")
        pairs = ((scan, bundle.model) for scan in scans)
        volumes = measure_on(pairs, bundle, torch.device("cpu")).finding_ml
        print(f"{bundle.card.name}: {len(volumes)} scans, {volumes} mL", flush=True)
        training = {**bundle.card.training, "healthy_finding_ml": volumes}
        save_bundle(replace(bundle, card=replace(bundle.card, training=training)), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
