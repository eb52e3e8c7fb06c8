"""Calibrate bundles anew on the cohort that they come from, with the present defaults.

``python recipes/packaged/measure_cohort.py COHORT BUNDLE... --work-dir WORK`` where COHORT is what
``make_cohort.py`` made. ``uadbids train`` does this by itself; the packaged models are older than
the defaults of detection. Their cards get these defaults (a bundle with a reader keeps its own),
the healthy residuals of the held-out scans (the threshold), what is found in these, and how well
every scan is rebuilt (the flag ``domain-shift``). Of a cohort of held-out scans alone, the figures
of the others stay.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from cases import read_cohort, run_options

from uadbids.detection.threshold import SENSITIVITY
from uadbids.model.bundle import load_bundle, save_bundle
from uadbids.model.config import DetectionConfig
from uadbids.run.models import thresholds
from uadbids.training.healthy import calibrate_on, measure_on

CPU = torch.device("cpu")


def main() -> None:
    """Preprocess the cohort (or take it from the work directory), measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--nprocs", type=int, default=2)
    args = parser.parse_args()
    cohort = read_cohort(args.cohort, run_options(args.work_dir, args.nprocs))
    torch.set_num_threads(args.nprocs)
    groups = {"held_out": cohort.held_out, "trained_on": [*cohort.real, *cohort.synthetic]}
    for folder in args.bundles:
        bundle = load_bundle(folder, device="cpu")
        settings = bundle.card.detection if bundle.reader else DetectionConfig()
        held_out = ((scan, bundle.model) for scan in cohort.held_out)
        table = calibrate_on(held_out, bundle.card.crop, settings, CPU, reader=bundle.reader)
        card = replace(bundle.card, detection=settings)
        bundle = replace(bundle, card=card, calibration=table)
        print(f"{card.name}: threshold {table.threshold(settings.false_positive_rate):.3f}")
        measured = {
            group: measure_on(((scan, bundle.model) for scan in scans), bundle, CPU)
            for group, scans in groups.items()
            if scans
        }
        errors = {group: found.errors for group, found in measured.items()}
        training = {
            **card.training,
            "reconstruction_errors": {**card.training.get("reconstruction_errors", {}), **errors},
            "healthy_finding_ml": measured["held_out"].finding_ml,
            "thresholds": thresholds(table),
        }
        save_bundle(replace(bundle, card=replace(card, training=training)), folder)
        for name, factor in SENSITIVITY.items():
            rate = factor * settings.false_positive_rate
            volumes = measured["held_out"].finding_ml
            if factor != 1:
                other = replace(card, detection=replace(settings, false_positive_rate=rate))
                pairs = ((scan, bundle.model) for scan in cohort.held_out)
                volumes = measure_on(pairs, replace(bundle, card=other), CPU).finding_ml
            limit = table.threshold(rate)
            print(f"{name} sensitivity: {limit:.2f}, {np.median(volumes):.2f} mL in the median")
        for group, values in errors.items():
            shown = f"{values[0]:.4f} to {values[-1]:.4f}"
            print(f"{bundle.card.name}, {group}: {len(values)} scans, {shown}", flush=True)


if __name__ == "__main__":
    main()
