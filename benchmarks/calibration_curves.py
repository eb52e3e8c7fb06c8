"""What share of unlabelled tissue exceeds each threshold, by scanner and by slice thickness.

``python benchmarks/calibration_curves.py benchmarks/development_sets.json --sources SOURCES
--derivatives OUTPUTS [--bundle dense3d] [--figure SVG]`` with folders as for ``reader_sets.py``.
A nominal rate is the share of the held-out healthy voxels above a threshold; the actual one is that
of a scan's examined voxels more than 5 steps, from face to face, from its labels. Labels leave
bright spots out, so it is no less than the true one. The second table makes slices of
healthy-looking scans thicker: means of axial slices of the template grid, interpolated back.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from reader_sets import CPU, HEALTHY, SMALLEST, Scan, arguments, read
from scipy import ndimage

from uadbids.detection.detect import cut
from uadbids.detection.examine import Examination, examine
from uadbids.model.bundle import Bundle, find_bundle, load_bundle
from uadbids.reports.plots import COLOURS, STYLE, save_svg

RATES = np.geomspace(0.0005, 0.05, 13)
SHOWN = (0.001, 0.0055, 0.02)
AROUND = 5
"""Steps to what labels leave out of the edge of a lesion."""
THICKNESSES_MM = (1, 3, 5, 7)
HOSPITALS = {"lgg": slice(4, 6)}
"""Where the name of a participant says the hospital."""
LINES = ("-", "--", ":")


def look_at(volume: np.ndarray, scan: Scan, bundle: Bundle) -> Examination:
    """Make the map of a volume."""
    return examine(
        volume, scan.brain, bundle.model, bundle.card.crop, bundle.card.detection,
        device=CPU, reader=bundle.reader,
    )  # fmt: skip


def actual(look: Examination, scan: Scan, bundle: Bundle) -> np.ndarray:
    """Share of unlabelled voxels above the threshold of each rate, those shown last."""
    around = ndimage.binary_dilation(scan.lesions, iterations=AROUND)
    values = look.anomaly_map[look.examined & ~around]
    limits = [bundle.calibration.threshold(rate) for rate in (*RATES, *SHOWN)]
    return np.array([np.mean(values > limit) for limit in limits])


def slices_mm(scan: Scan, folder: Path) -> float:
    """Thickness of the slices of a source."""
    (path, *_) = folder.glob(f"sub-*/**/{scan.name}_FLAIR.nii*")
    return float(max(nib.load(path).header.get_zooms()[:3]))


def thicker(volume: np.ndarray, brain: np.ndarray, mm: int) -> np.ndarray:
    """Average axial slices, of the brain alone, and interpolate between the means."""
    means = [ndimage.uniform_filter1d(part.astype(np.float32), mm, axis=2)[..., mm // 2 :: mm]
             for part in (volume * brain, brain)]  # fmt: skip
    mean = means[0] / np.maximum(means[1], 1e-3)
    places = (np.arange(volume.shape[2]) - mm // 2) / mm
    low = np.clip(np.floor(places).astype(int), 0, mean.shape[2] - 2)
    share = np.clip(places - low, 0, 1).astype(np.float32)
    return (mean[..., low] * (1 - share) + mean[..., low + 1] * share) * brain


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Median, and from where to where."""
    low, middle, high = np.percentile(list(values), (0, 50, 100))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def draw(curves: dict[str, np.ndarray], out: Path) -> None:
    """Draw the median curve of each group, SVG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(100 * RATES, 100 * RATES, color="0.7", linewidth=3, label="as in held-out scans")
        looks = zip(cycle(COLOURS), (line for line in LINES for _ in COLOURS), strict=False)
        for (name, curve), (colour, line) in zip(curves.items(), looks, strict=False):
            axes.plot(100 * RATES, 100 * curve[: len(RATES)], line, color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlabel="nominal rate, %", ylabel="actual rate, %")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside right upper", frameon=False)
        save_svg(figure, out)


def main() -> None:
    """Print both tables."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    bundle = load_bundle(find_bundle(args.bundle), device="cpu")
    default = bundle.calibration.threshold(bundle.card.detection.false_positive_rate)
    groups, thick = defaultdict(list), defaultdict(list)
    for entry in [*json.loads(args.sets.read_text()), HEALTHY]:
        for scan in read(entry, args.sources, args.derivatives):
            rates = actual(look_at(scan.volume, scan, bundle), scan, bundle)
            where = scan.name[HOSPITALS.get(entry["bids"], slice(0))]
            mm = slices_mm(scan, args.sources / entry["bids"])
            groups[f"{entry['bids']} {where}".strip()].append((mm, rates))
            for step in THICKNESSES_MM if entry is HEALTHY else ():
                look = look_at(thicker(scan.volume, scan.brain, step), scan, bundle)
                ml = (cut(look, default, bundle.card.detection.residual, SMALLEST) > 0).sum() / 1000
                thick[step].append((actual(look, scan, bundle), ml))
    head = " | ".join(f"at {100 * rate:g} %" for rate in SHOWN)
    print(f"| scans | number | slices, mm | {head} |\n|---|---|---" + "|---" * len(SHOWN) + "|")
    for name, rows in groups.items():
        print(f"| {name} | {len(rows)} | {spread((mm for mm, _ in rows), 1)} | " + " | ".join(
            spread(100 * rates[len(RATES) + k] for _, rates in rows) for k in range(len(SHOWN))
        ) + " |")  # fmt: skip
    print(f"\n| slices, mm | {head} | findings, mL |\n|---" + "|---" * (len(SHOWN) + 1) + "|")
    for step, rows in thick.items():
        print(f"| {step} | " + " | ".join(
            spread(100 * rates[len(RATES) + k] for rates, _ in rows) for k in range(len(SHOWN))
        ) + f" | {spread(ml for _, ml in rows)} |")  # fmt: skip
    if args.figure:
        draw({name: np.median([rates for _, rates in rows], axis=0) for name, rows in
              groups.items()}, args.figure)  # fmt: skip


if __name__ == "__main__":
    main()
