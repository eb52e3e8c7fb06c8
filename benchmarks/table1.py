"""Table 1 of the paper beside the same figures of bundles and baselines on other data.

``python benchmarks/table1.py DATASETS --root SOURCES --bundle dense3d --bundle dense2d --work-dir
WORK``

DATASETS is a JSON file, a list of objects with ``name`` (what is said in the table), ``bids`` (BIDS
dataset, below SOURCES), ``masks`` (dataset with lesion masks; default: ``bids``) and, if wanted,
``filters`` (for ``--mask-filter``) and ``participants``; ``development_sets.json`` beside this file
is one. ``--healthy DIR`` adds label-free thresholds of the baselines and the voxel-wise one.

Everything goes through the command line, ``uadbids participant`` and ``uadbids evaluate --space
template``, as anybody would do it; what is in WORK already is not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Lambert et al. 2021, table 1: data, network, Dice, its deviation, specificity, sensitivity, MAE.
PAPER = (
    ("WMH (196 scans)", "Spatial 2D", 0.280, 0.174, 0.986, 0.547, 0.049),
    ("WMH (196 scans)", "Spatial 3D", 0.336, 0.203, 0.989, 0.605, 0.056),
    ("WMH (196 scans)", "Dense 2D", 0.460, 0.262, 0.994, 0.604, 0.102),
    ("WMH (196 scans)", "Dense 3D", 0.463, 0.259, 0.996, 0.511, 0.104),
    ("tumours (100 scans)", "Spatial 2D", 0.260, 0.121, 0.912, 0.376, 0.079),
    ("tumours (100 scans)", "Spatial 3D", 0.386, 0.160, 0.898, 0.655, 0.065),
    ("tumours (100 scans)", "Dense 2D", 0.618, 0.167, 0.978, 0.676, 0.133),
    ("tumours (100 scans)", "Dense 3D", 0.650, 0.190, 0.981, 0.711, 0.151),
)
COLUMNS = ("measured on", "method", "threshold", "Dice", "Spe", "Sen", "MAE", "AP", "p")


def run(*words: object) -> None:
    """Run the command line; stop with it."""
    command = [sys.executable, "-m", "uadbids", *map(str, words)]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise SystemExit(f"failed ({done.returncode}): {' '.join(command)}")


def participant(bids: Path, bundle: str, work: Path, name: str, labels: list[str]) -> Path:
    """Return the maps of a dataset by a bundle."""
    out = work / name / Path(bundle).name
    if not (out / "participants.tsv").exists():
        only = ["--participant-label", *labels] if labels else []
        run(bids, out, "participant", "--model", bundle, "-w", work / "nipype" / name, *only)
    return out


def evaluated(
    dataset: dict[str, Any], root: Path, bundle: str, work: Path, baselines: Sequence[object]
) -> tuple[str, list[dict[str, str]]]:
    """Evaluate one bundle on one dataset; name of the model, and rows of ``summary.tsv``."""
    bids = root / dataset["bids"]
    maps = participant(bids, bundle, work, slug(dataset), dataset.get("participants", []))
    out = work / "evaluation" / slug(dataset) / Path(bundle).name
    filters = ["--mask-filter", *dataset["filters"]] if dataset.get("filters") else []
    masks = root / dataset.get("masks", dataset["bids"])
    if not (out / "summary.tsv").exists():
        run("evaluate", maps, masks, out, "--space", "template", *filters, *baselines)
    with (out / "summary.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["Model"], rows


def slug(dataset: dict[str, Any]) -> str:
    """Folder name of a dataset."""
    return "".join(letter if letter.isalnum() else "-" for letter in dataset["name"])


def number(text: str) -> str:
    """Three digits, or n/a as it is."""
    return text if text == "n/a" else f"{float(text):.3f}"


def print_row(cells: tuple[object, ...]) -> None:
    """Print one row of Markdown."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    """Run everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the datasets")
    parser.add_argument("--bundle", action="append", required=True, help="name or folder")
    parser.add_argument("--healthy", type=Path, help="BIDS dataset of healthy scans")
    parser.add_argument("--work-dir", type=Path, required=True)
    args = parser.parse_args()
    work = args.work_dir.resolve()

    print_row(COLUMNS)
    print_row(("---",) * len(COLUMNS))
    for data, network, dice, deviation, specificity, sensitivity, mae in PAPER:
        shown = f"{dice:.3f} ± {deviation:.3f}"
        cells = (f"{specificity:.3f}", f"{sensitivity:.3f}", f"{mae:.3f}", "", "")
        print_row((f"paper, other data: {data}", network, "paper", shown, *cells))
    for dataset in json.loads(args.datasets.read_text(encoding="utf-8")):
        for place, bundle in enumerate(args.bundle):
            # Baselines know nothing of bundles: they stand with the first.
            baselines: list[object] = ["--no-baselines"] if place else []
            if args.healthy and not place:
                healthy = participant(args.healthy, bundle, work, "healthy", [])
                baselines = ["--healthy-maps", healthy]
            model, rows = evaluated(dataset, args.root, bundle, work, baselines)
            for row in rows:
                # Its plain residual is the model's, too.
                own = row["method"].split(",")[0] == model
                # People know nothing of bundles either.
                if not own and place:
                    continue
                person = row["threshold_kind"] == "by hand"
                kind = "" if own else " (second person)" if person else " (baseline)"
                print_row(
                    (
                        f"{dataset['name']} ({row['scans']} scans, {row['reference']})",
                        f"{row['method']}{kind}",
                        row["threshold_kind"],
                        f"{number(row['dice'])} ± {number(row['dice_sd'])}",
                        number(row["specificity_image"]),
                        number(row["sensitivity"]),
                        number(row["mae_brain"]),
                        number(row["average_precision"]),
                        number(row["p_value"]),
                    )
                )


if __name__ == "__main__":
    main()
