"""Measure the reader's map beside the map without it and intensity alone, set by set.

``python benchmarks/reader_sets.py benchmarks/development_sets.json --sources SOURCES
--derivatives OUTPUTS [--bundle dense3d] [--reader BUNDLE] [--json FILE] [--write-card]`` where
OUTPUTS holds a folder for each dataset of the list, as ``uadbids SOURCES/<bids> OUTPUTS/<bids>
participant`` made it. Volumes and brain masks are taken from there; maps and findings are made
anew, on the template grid. With ``--reader``, a VAE is measured with the reader and the threshold
of another bundle; ``--write-card`` puts the figures into the card of the bundle, a folder.

"Label-free" is the bundle's default threshold. "Oracle" thresholds are the best single one of a
set, found on its own labels: no method can know them. "Left out" is the threshold of the reader's
map that is best in the mean over the other sets. Further tables count lesions and findings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import ants
import nibabel as nib
import numpy as np
import torch

from uadbids.detection.detect import cut
from uadbids.detection.erosion import examined_part
from uadbids.detection.examine import examine
from uadbids.detection.hyperintensity import robust_z
from uadbids.detection.postprocess import AT_THRESHOLD, label_components, segment
from uadbids.evaluation import metrics
from uadbids.evaluation.baselines import equalised
from uadbids.model.bundle import Bundle, find_bundle, load_bundle, save_bundle

HEALTHY = {
    "name": "healthy-looking (healthy-few)",
    "bids": "healthy-few",
    # The third one is among those that thresholds are calibrated on.
    "participants": ["kirby113", "synthsr"],
}
TFCE_THRESHOLDS = {"dense3d": 3.02, "dense2d": 2.83, "spatial3d": 2.61, "spatial2d": 2.0}
"""Defaults of the models before they had a reader: a false-positive rate of 0.005."""
GRIDS = {"robust z": np.arange(1, 6, 0.5), "equalised": np.arange(0.85, 0.995, 0.02)}
CHOICES = (1.7, 2.0, 2.3, 2.6, 3.0)
"""Thresholds of the reader's map to choose from where a set is left out."""
FEW, MANY = 50, 500
"""Sizes of small lesions (voxels of 1 mm3)."""
SMALLEST = 10.0
CPU = torch.device("cpu")
MEASURED_ON = (
    "development cases, never trained on or calibrated with; but the map, its rules, its "
    "smoothing, where clusters begin, where lesions end and the default false-positive rate were "
    "chosen on them"
)
OWN, WITHOUT = "this model", "this model without its reader"


class Scan(NamedTuple):
    """A preprocessed scan; lesions are empty where it looks healthy."""

    name: str
    volume: np.ndarray
    brain: np.ndarray
    lesions: np.ndarray
    normal: np.ndarray  # bright, and judged normal by the raters


def read(entry: dict, sources: Path, derivatives: Path) -> Iterator[Scan]:
    """Read the preprocessed scans of a set, and bring its lesion masks to the template."""
    ending = "_space-UADBIDS_desc-preproc_FLAIR.nii.gz"
    for path in sorted((derivatives / entry["bids"]).glob(f"sub-*/**/*{ending}")):
        stem = str(path).removesuffix(ending)
        name = Path(stem).name
        subject = name.split("_")[0].removeprefix("sub-")
        if subject not in entry.get("participants", [subject]):
            continue
        volume = np.asarray(nib.load(path).dataobj, dtype=np.float32)
        brain = np.asarray(nib.load(f"{stem}_space-UADBIDS_label-brain_mask.nii.gz").dataobj) > 0
        transform = f"{stem}_from-orig_to-UADBIDS_mode-image_xfm.txt"

        found = sorted((sources / entry["bids"] / "derivatives").glob(f"**/{name}_*mask.nii.gz"))
        normal = [mask for mask in found if "normal" in mask.name]
        lesions = [m for m in found if m not in normal and "ventri" not in m.name]
        yield Scan(
            name, volume, brain, moved(lesions, path, transform), moved(normal, path, transform)
        )


def moved(masks: list[Path], volume: Path, transform: str) -> np.ndarray:
    """Bring the first mask to the template; empty without any."""
    fixed = ants.image_read(str(volume))
    if not masks:
        return np.zeros(fixed.shape, dtype=bool)
    mask = ants.image_read(str(masks[0]))
    return ants.apply_transforms(fixed, mask, [transform], "linear").numpy() >= 0.5


def dice(found: np.ndarray, lesions: np.ndarray) -> float:
    """Dice of two masks; NaN without lesions."""
    return metrics.dice(found, lesions) if lesions.any() else float("nan")


def measure(scan: Scan, bundle: Bundle) -> dict[str, float]:
    """Figures of one scan, by name."""
    figures = {"true ml": scan.lesions.sum() / 1000}
    for kind in ("reader", "tfce"):
        start = time.process_time()
        look = examine(
            scan.volume, scan.brain, bundle.model, bundle.card.crop, bundle.card.detection,
            device=CPU, kind=kind, reader=bundle.reader,
        )  # fmt: skip
        figures[f"{kind}: CPU s"] = time.process_time() - start
        rate = bundle.card.detection.false_positive_rate
        limit = (
            bundle.calibration.threshold(rate)
            if kind == "reader"
            else TFCE_THRESHOLDS[bundle.card.name]
        )
        found = cut(look, limit, kind, SMALLEST) > 0
        figures[f"{kind}: Dice"] = dice(found, scan.lesions)
        figures[f"{kind}: AP"] = precision(look.anomaly_map, scan)
        figures[f"{kind}: ml"] = found.sum() / 1000
        figures.update({f"{kind}: {name}": n for name, n in counts(found, scan).items()})
        for choice in CHOICES if kind == "reader" else ():
            at_choice = cut(look, choice, kind, SMALLEST) > 0
            figures[f"reader: Dice at {choice}"] = dice(at_choice, scan.lesions)
    return {**figures, **baselines(scan, bundle)}


def baselines(scan: Scan, bundle: Bundle) -> dict[str, float]:
    """Figures of intensity alone, by name: average precision, and Dice at each threshold."""
    figures = {}
    examined = examined_part(scan.brain, bundle.card.detection.erosion_mm, None)
    for name, map_of in (("robust z", robust_z), ("equalised", equalised)):
        scores = map_of(scan.volume, scan.brain)
        figures[f"{name}: AP"] = precision(scores, scan)
        for limit in GRIDS[name]:
            found = segment(
                scores, examined, threshold=limit, min_volume_mm3=SMALLEST,
                spacing=(1.0, 1.0, 1.0), boundary=AT_THRESHOLD,
            )  # fmt: skip
            figures[f"{name}: Dice at {limit:.2f}"] = dice(found > 0, scan.lesions)
    return figures


def counts(found: np.ndarray, scan: Scan) -> dict[str, int]:
    """Lesions and findings by number, and voxels of lesions and of normal spots that are marked."""
    lesions, findings = label_components(scan.lesions), label_components(found)
    sizes = np.bincount(lesions.ravel())
    small = np.flatnonzero((sizes >= FEW) & (sizes <= MANY))
    return {
        "small lesions": len(small),
        "small lesions touched": len(np.intersect1d(small, lesions[found])),
        "findings": findings.max(),
        "true findings": len(np.setdiff1d(findings[scan.lesions], [0])),
        "lesion": scan.lesions.sum(),
        "lesion marked": (found & scan.lesions).sum(),
        "normal": scan.normal.sum(),
        "normal marked": (found & scan.normal).sum(),
    }


def precision(scores: np.ndarray, scan: Scan) -> float:
    """Average precision over the brain and all of the lesions; NaN without lesions."""
    where = scan.brain | scan.lesions
    if not scan.lesions.any():
        return float("nan")
    lowest = float(scores.min())
    return metrics.average_precision(
        np.where(scan.brain, scores, lowest)[where], scan.lesions[where]
    )


def show_left_out(means: dict[str, dict[str, float]]) -> None:
    """Print Dice of each set with the threshold that the others would choose."""
    print("\n| set left out | threshold of the others | reader Dice |\n|---|---|---|")
    for name, mean in means.items():
        others = [other for key, other in means.items() if key != name]
        totals = {t: sum(other[f"reader: Dice at {t}"] for other in others) for t in CHOICES}
        choice = max(totals, key=totals.__getitem__)
        print(f"| {name} | {choice} | {mean[f'reader: Dice at {choice}']:.3f} |")


def show_counts(sets: dict[str, list[dict[str, float]]]) -> None:
    """Print what share of lesions is touched and of findings true, set by set and over all."""
    print(
        f"\n| set | lesions of {FEW} to {MANY} mm3 | touched: reader, tfce | findings: both "
        "| true of them | lesion voxels marked | normal voxels marked |\n|---" + "|---" * 6 + "|"
    )
    everything = [row for rows in sets.values() for row in rows]
    for name, rows in [*sets.items(), ("all", everything)]:
        total = {key: sum(row[key] for row in rows) for key in rows[0]}

        def both(part: str, whole: str, total: dict[str, float] = total) -> str:
            pairs = [(total[f"{k}: {part}"], total[f"{k}: {whole}"]) for k in ("reader", "tfce")]
            return ", ".join(f"{a / b:.2f}" if b else "-" for a, b in pairs)

        print(f"| {name} | {total['reader: small lesions']} "
              f"| {both('small lesions touched', 'small lesions')} "
              f"| {total['reader: findings']}, {total['tfce: findings']} "
              f"| {both('true findings', 'findings')} | {both('lesion marked', 'lesion')} "
              f"| {both('normal marked', 'normal')} |")  # fmt: skip


def figures_of(entry: dict, mean: dict[str, float], cases: int) -> dict[str, float]:
    """Return what a card says of a set."""
    if entry is HEALTHY:
        return {"cases": cases, "false-positive ml": round(mean["reader: ml"], 2)}
    z, equal = oracles(mean)
    return {
        "cases": cases,
        "Dice, label-free": round(mean["reader: Dice"], 3),
        "average precision": round(mean["reader: AP"], 3),
        "Dice without the reader": round(mean["tfce: Dice"], 3),
        "Dice of robust z, oracle": round(z, 3),
        "Dice of equalised intensity, oracle": round(equal, 3),
        "ml of findings": round(mean["reader: ml"], 2),
    }


def oracles(mean: dict[str, float]) -> list[float]:
    """Return the best mean Dice of a set, for each of the intensity baselines."""
    return [max(mean[f"{name}: Dice at {t:.2f}"] for t in grid) for name, grid in GRIDS.items()]


def write_card(folder: Path, results: dict[str, dict[str, float]]) -> None:
    """Put the figures into the card of a bundle; those without its reader stay beside them."""
    bundle = load_bundle(folder, device="cpu")
    past = dict(bundle.card.results)
    earlier = {WITHOUT: past.get(WITHOUT, past.get(OWN))}
    rest = {name: past[name] for name in past if name not in ("measured on", OWN, WITHOUT)}
    told = {"measured on": MEASURED_ON, OWN: results, **earlier, **rest}
    save_bundle(replace(bundle, card=replace(bundle.card, results=told)), folder)


def arguments(description: str) -> argparse.ArgumentParser:
    """Command line of a benchmark on sets whose outputs are there."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--derivatives", type=Path, required=True)
    parser.add_argument("--bundle", default="dense3d")
    return parser


def main() -> None:
    """Measure set by set; print a table of the sets and one of the scans."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--reader", help="bundle whose reader and threshold are taken instead")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    bundle = load_bundle(find_bundle(args.bundle), device="cpu")
    if args.reader:
        lender = load_bundle(find_bundle(args.reader), device="cpu")
        card = replace(bundle.card, detection=lender.card.detection, reader=lender.card.reader)
        bundle = replace(lender, card=card, model=bundle.model)
    print("| set | scans | reader Dice | tfce Dice | oracle z | oracle equalised "
          "| AP reader | AP tfce | AP z | AP equalised |\n|---" + "|---" * 9 + "|")  # fmt: skip
    results, scans, sets = {}, [], {}
    for entry in [*json.loads(args.sets.read_text()), HEALTHY]:
        rows = {
            scan.name: measure(scan, bundle) for scan in read(entry, args.sources, args.derivatives)
        }
        if not rows:
            continue
        mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in
                next(iter(rows.values()))}  # fmt: skip
        oracle = oracles(mean)
        shown = [mean["reader: Dice"], mean["tfce: Dice"], *oracle] + [
            mean[f"{name}: AP"] for name in ("reader", "tfce", "robust z", "equalised")
        ]
        print(f"| {entry['name']} | {len(rows)} | "
              + " | ".join(f"{value:.3f}" for value in shown) + " |", flush=True)  # fmt: skip
        results[entry["name"]] = figures_of(entry, mean, len(rows))
        scans += rows.items()
        if entry is not HEALTHY:
            sets[entry["name"]] = (mean, list(rows.values()))
    show_left_out({name: mean for name, (mean, _) in sets.items()})
    show_counts({name: rows for name, (_, rows) in sets.items()})
    seconds = [
        np.median([row[f"{kind}: CPU s"] for _, row in scans]) for kind in ("reader", "tfce")
    ]
    print("\nCPU seconds from volume to map, median: reader {:.1f}, tfce {:.1f}".format(*seconds))
    print("\n| scan | true ml | reader Dice, ml, AP | tfce Dice, ml, AP |\n|---|---|---|---|")
    for name, row in scans:
        parts = [
            ", ".join(f"{row[f'{kind}: {what}']:.2f}" for what in ("Dice", "ml", "AP"))
            for kind in ("reader", "tfce")
        ]
        print(f"| {name} | {row['true ml']:.2f} | {parts[0]} | {parts[1]} |")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    if args.write_card:
        write_card(find_bundle(args.bundle), results)


if __name__ == "__main__":
    main()
