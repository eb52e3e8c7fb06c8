"""Whether a threshold that follows the scan would beat one threshold for all scans.

``python benchmarks/adaptive_threshold.py benchmarks/development_sets.json --sources SOURCES
--derivatives OUTPUTS [--bundle dense3d]`` with folders as for ``reader_sets.py``. The threshold of
a scan is the bundle's or a factor times a measure of the scan's own brightness or map, whichever is
higher; the factor is chosen on all sets but one and judged on that one. "Best of each scan" is the
threshold that the scan's own labels choose: no rule can be better.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from reader_sets import CPU, SMALLEST, Scan, arguments, dice, read

from uadbids.detection.detect import cut
from uadbids.detection.examine import examine
from uadbids.detection.hyperintensity import robust_z
from uadbids.model.bundle import Bundle, find_bundle, load_bundle

THRESHOLDS = np.geomspace(1.2, 6, 15)
FACTORS = np.arange(0, 1.01, 0.05)


class Curve(NamedTuple):
    """Dice of a scan at each threshold, and what a rule may look at."""

    dice: np.ndarray
    measures: dict[str, float]

    def at(self, threshold: float) -> float:
        """Return Dice at any threshold."""
        return float(np.interp(threshold, THRESHOLDS, self.dice))


def measure(scan: Scan, bundle: Bundle) -> Curve:
    """Cut the map of one scan at all thresholds."""
    look = examine(
        scan.volume, scan.brain, bundle.model, bundle.card.crop, bundle.card.detection,
        device=CPU, kind="reader", reader=bundle.reader,
    )  # fmt: skip
    found = [dice(cut(look, t, "reader", SMALLEST) > 0, scan.lesions) for t in THRESHOLDS]
    z, anomaly = robust_z(scan.volume, scan.brain)[scan.brain], look.anomaly_map[look.examined]
    measures = {f"{share} of z": np.quantile(z, share) for share in (0.99, 0.999)}
    measures |= {f"{share} of the map": np.quantile(anomaly, share) for share in (0.99, 0.999)}
    return Curve(np.array(found), {name: float(value) for name, value in measures.items()})


def main() -> None:
    """Print a row for each rule."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    bundle = load_bundle(find_bundle(args.bundle), device="cpu")
    usual = bundle.calibration.threshold(bundle.card.detection.false_positive_rate)
    entries = json.loads(args.sets.read_text())
    sets = [[measure(scan, bundle) for scan in read(entry, args.sources, args.derivatives)]
            for entry in entries]  # fmt: skip

    def row(name: str, values: np.ndarray) -> None:
        shown = " | ".join(f"{value:.3f}" for value in (*values, values.mean()))
        print(f"| {name} | {shown} |", flush=True)

    def means(name: str, factor: float) -> np.ndarray:
        return np.array([
            np.mean([curve.at(max(usual, factor * curve.measures[name])) for curve in curves])
            for curves in sets
        ])  # fmt: skip

    print("| threshold | " + " | ".join(entry["bids"] for entry in entries) + " | mean |")
    print("|---" * (len(entries) + 2) + "|")
    row(f"{usual:.2f} for all", means(next(iter(sets[0][0].measures)), 0))
    for name in sets[0][0].measures:
        table = np.array([means(name, factor) for factor in FACTORS])
        row(f"follows {name}, chosen on all sets", table[table.mean(axis=1).argmax()])
        others = [np.delete(table, k, axis=1).mean(axis=1).argmax() for k in range(len(sets))]
        row(f"follows {name}, chosen on the others", table[others, np.arange(len(sets))])
    best = [np.mean([curve.dice.max() for curve in curves]) for curves in sets]
    row("best of each scan", np.array(best))


if __name__ == "__main__":
    main()
