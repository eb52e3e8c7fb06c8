"""Measure how much findings differ between a scan and its copy, and whether growth is seen.

``python benchmarks/repeatability.py --choose SCAN... --report SCAN... --work-dir WORK``

Every scan is compared with a copy of itself (turned by 5 degrees, shifted, with noise; see
``rescans.py``), which goes through the whole of preprocessing. Limits of agreement are fitted on
the scans to choose by, and held against those to report on. ``--grown`` paints two lesions into
every scan and half as much again into its copy, and counts what is called enlarging. What is done
is taken up from the work directory.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from rescans import Ball, moved, painted, places
from scipy.optimize import minimize

from uadbids.detection.change import MEASURED, Repeatability
from uadbids.model.bundle import find_bundle, load_bundle
from uadbids.pipeline.common_space import Session
from uadbids.pipeline.longitudinal import Compared, follow_up
from uadbids.pipeline.preprocess import preprocess
from uadbids.pipeline.records import DetectOptions, Preprocessed, PreprocessOptions
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.transform import read_transform
from uadbids.run.setup import prepare_environment

SIZES_ML = (0.0, 0.03, 0.1, 0.3, 1.0, np.inf)
GROWTH = 1.5
GROWN_ML = (0.3, 1.0)
"""Volumes of the two painted lesions."""


@dataclass(frozen=True)
class Study:
    """Which model, and where intermediate results lie."""

    config: PreprocConfig
    detect: DetectOptions
    work_dir: Path

    def session(self, image: Path, name: str, folder: Path) -> tuple[Session, Preprocessed]:
        """Preprocess one scan."""
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        scan = preprocess(image, place, PreprocessOptions(self.config))
        # The mask of the scan in RAS order lies on the same voxels.
        return Session(name, scan.source, scan.brain, scan.xfm), scan

    def compare(self, sessions: list[Session], folder: Path) -> Compared:
        """Compare two sessions."""
        folder.mkdir(parents=True, exist_ok=True)
        return follow_up(sessions, folder, self.config, self.detect)


def zero_change(study: Study, image: Path, number: int) -> list[dict]:
    """Compare a scan with a moved copy of itself; the rows of its table."""
    folder = study.work_dir / f"same-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "rows.json"
    if done.exists():
        return json.loads(done.read_text())
    copy = moved(image, folder / "copy.nii.gz", seed=number)
    first, _ = study.session(image, "scan", folder)
    second, _ = study.session(copy, "copy", folder)
    rows = study.compare([first, second], folder / "compared").rows
    done.write_text(json.dumps(rows))
    return rows


def growth(study: Study, image: Path, number: int) -> list[str]:
    """Paint lesions, and more of them into a moved copy; the status of each."""
    folder = study.work_dir / f"grown-{number}"
    done = folder / "statuses.json"
    if done.exists():
        return json.loads(done.read_text())
    _, plain = study.session(image, "plain", folder)
    lesions = [
        Ball(centre, volume)
        for centre, volume in zip(places(plain, len(GROWN_ML), number), GROWN_ML, strict=False)
    ]
    before = painted(image, folder / "before.nii.gz", lesions)
    larger = painted(image, folder / "larger.nii.gz", [one.grown(GROWTH) for one in lesions])
    after = moved(larger, folder / "after.nii.gz", seed=number)
    first, _ = study.session(before, "before", folder)
    second, _ = study.session(after, "after", folder)
    found = study.compare([first, second], folder / "compared")
    numbers = np.asarray(nib.load(found.common[0]).dataobj)
    to_grid = np.linalg.inv(nib.load(found.common[0]).affine) @ np.linalg.inv(
        read_transform(found.scans[0].xfm)
    )
    statuses = []
    for lesion in lesions:
        voxel = tuple(np.rint(apply_affine(to_grid, lesion.centre)).astype(int))
        row = next((r for r in found.rows if r["index"] == numbers[voxel]), None)
        statuses.append(str(row["status"]) if row else "not found")
        size = f"{row['volume_from_ml']:.3f} to {row['volume_to_ml']:.3f}" if row else ""
        print(f"  {lesion.volume_ml:g} ml, grown by half: {statuses[-1]} {size}", flush=True)
    done.write_text(json.dumps(statuses))
    return statuses


def fitted(rows: list[dict]) -> Repeatability:
    """Fit the limits of agreement: the most likely standard deviations of the log ratios."""
    ratio, volume = _ratios(rows)

    def unlikely(logs: np.ndarray) -> float:
        variance = np.exp(logs[0]) + np.exp(logs[1]) / volume
        return float(np.sum(np.log(variance) + ratio**2 / variance))

    best = minimize(unlikely, [np.log(0.01), np.log(2.0)], method="Nelder-Mead").x
    return Repeatability(float(np.exp(best[0] / 2)), float(np.exp(best[1])))


def print_table(rows: list[dict], title: str, limits: Repeatability) -> None:
    """Print differences by size, and how often they are within limits."""
    ratio, volume = _ratios(rows)
    within = np.abs(ratio) <= 1.96 * np.array([limits.sd(v) for v in volume])
    print(f"\n{title}\n| volume (ml) | findings | SD of log ratio | within limits |")
    print("|---|---|---|---|")
    for low, high in pairwise(SIZES_ML):
        here = (volume / 1000 >= low) & (volume / 1000 < high)
        if here.any():
            spread = np.sqrt(np.mean(ratio[here] ** 2))
            print(
                f"| {low:g} to {high:g} | {here.sum()} | {spread:.3f} | {within[here].mean():.2f} |"
            )
    status = [row["status"] for row in rows]
    apart = sum(s in ("new", "gone") for s in status)
    share = 100 * apart / max(len(status), 1)
    print(f"all: {len(rows)} findings, new or gone: {apart} ({share:.1f} %), "
          f"enlarging or shrinking: {sum(s in ('enlarging', 'shrinking') for s in status)}, "
          f"not comparable: {status.count(None)}")  # fmt: skip
    for row in rows:
        if row["status"] in ("new", "gone"):
            sizes = f"{row['volume_from_ml']:.3f} to {row['volume_to_ml']:.3f} ml"
            print(f"  {row['status']}: {sizes}, {row['location']}, {row['tag']}")


def _ratios(rows: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    volumes = np.array([(row["volume_from_ml"], row["volume_to_ml"]) for row in rows]) * 1000
    volumes = np.maximum(volumes[(volumes > 0).all(axis=1)].reshape(-1, 2), 0.5)
    return np.log(volumes[:, 1] / volumes[:, 0]), volumes.mean(axis=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", type=Path, nargs="*", default=[], help="NIfTI, with skull")
    parser.add_argument("--report", type=Path, nargs="*", default=[], help="NIfTI, with skull")
    parser.add_argument("--grown", type=Path, nargs="*", default=[], help="NIfTI, with skull")
    parser.add_argument("--model", default="dense3d")
    parser.add_argument("--work-dir", type=Path, required=True)
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    prepare_environment(args.work_dir, random_seed=20210301, threads=1, verbose=False)
    bundle = find_bundle(args.model)
    config = PreprocConfig.from_dict(load_bundle(bundle, device="cpu").card.preproc)
    study = Study(config, DetectOptions(bundle), args.work_dir)
    limits = MEASURED
    for title, images in (("chosen on", args.choose), ("reported on", args.report)):
        rows: list[dict] = []
        for number, image in enumerate(images, start=1 if title == "chosen on" else 101):
            rows += zero_change(study, image, number)
            print(f"{title}: {image.name}, {len(rows)} findings so far", flush=True)
        if rows and title == "chosen on":
            limits = fitted(rows)
            print(f"fitted: least {limits.least:.3f}, reference {limits.reference_mm3:.2f} mm3")
        if rows:
            print_table(rows, f"{title} {len(images)} scans", limits)
    statuses: list[str] = []
    for number, image in enumerate(args.grown, start=1):
        print(image.name, flush=True)
        statuses += growth(study, image, number)
    if statuses:
        found = len(statuses) - statuses.count("not found")
        print(
            f"enlarging: {statuses.count('enlarging')} of {found} grown lesions that were found, "
            f"{len(statuses)} painted"
        )


if __name__ == "__main__":
    main()
