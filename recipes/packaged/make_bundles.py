"""Make the packaged bundles, from the sources to the measured cards: one command, which goes on.

``python recipes/packaged/make_bundles.py SOURCES LABELS WORK`` where SOURCES holds the BIDS
datasets that README.md beside this file names, and LABELS the label maps. Everything is written
below WORK; what an earlier call finished is kept, and a stopped training goes on from its
checkpoint. ``--steps 50`` rehearses the whole of it in minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import make_cohort

SYNTHETIC = 30
STEPS = {"dense3d": 2500, "spatial3d": 1500, "dense2d": 1500, "spatial2d": 1500}
HERE = Path(__file__).resolve().parent


def main() -> None:
    """Synthesize, gather, train and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("sources", "labels", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--models", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--steps", type=int, help="of every model; for a rehearsal")
    parser.add_argument("--synthetic", type=int, default=SYNTHETIC, help="synthetic scans")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--nprocs", type=int, default=2)
    args = parser.parse_args()
    synthetic, cohort = args.work / "synthetic", args.work / "cohort"
    args.work.mkdir(parents=True, exist_ok=True)
    run("uadbids", "synthesize", args.labels, synthetic, "--count", args.synthetic)
    make_cohort.main(args.sources, synthetic, cohort)
    held_out = (cohort / "held_out.txt").read_text().split()
    for model in args.models:
        run(
            "uadbids", "train", cohort, args.work / "bundles", "--model", model,
            "--lesion-masks", cohort / "derivatives" / "lesions", "--exclude-hyperintense",
            "--validation-label", *held_out, "--about", HERE / "about.json",
            "--steps", args.steps or STEPS[model], "--epoch-steps", min(args.steps or 250, 250),
            "--device", args.device, "--nprocs", args.nprocs, "--work-dir", args.work,
        )  # fmt: skip
    bundles = [args.work / "bundles" / model for model in args.models]
    run(
        sys.executable, HERE.parents[1] / "benchmarks" / "development.py", args.sources, cohort,
        *bundles, "--work-dir", args.work, "--nprocs", args.nprocs, "--write-card",
    )  # fmt: skip


def run(*command: object) -> None:
    """Show a command and run it; a failure ends everything."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    if words[0] == "uadbids":
        words[:1] = [sys.executable, "-m", "uadbids"]
    if done := subprocess.run(words, check=False).returncode:
        sys.exit(done)


if __name__ == "__main__":
    main()
