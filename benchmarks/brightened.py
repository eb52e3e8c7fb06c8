"""What a model marks more where normal cortex is brighter than usual, scan by scan.

``python benchmarks/brightened.py benchmarks/brightened_sets.json --sources SOURCES --derivatives
OUTPUTS [--bundle dense3d]``, with OUTPUTS as for `reader_sets`. Cortex of brain and cerebellum,
without the fluid of its sulci, is made 5, 10 and 20 % brighter on the template grid, and findings
are made anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import torch
from reader_sets import HEALTHY, Scan, arguments, read
from scipy import ndimage

from uadbids.detection.detect import detect
from uadbids.model.bundle import Bundle, find_bundle, load_bundle
from uadbids.preproc.atlas import Atlas

SHARES = (0.0, 0.05, 0.1, 0.2)


def marked(scan: Scan, cortex: np.ndarray, bundle: Bundle) -> Iterator[float]:
    """Millilitres of findings at each share."""
    level = np.median(scan.volume[scan.volume > 0])
    tissue = np.clip((scan.volume / level - 0.6) / 0.2, 0, 1)
    for share in SHARES:
        brighter = np.clip(scan.volume * (1 + share * tissue * cortex), 0, 1)
        found = detect(brighter, scan.brain, bundle, device="cpu")
        yield np.count_nonzero(found.lesions) / 1000


def main() -> None:
    """Print one row for each scan, and the largest gain."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(find_bundle(args.bundle), device="cpu")
    cortex = ndimage.gaussian_filter(Atlas.packaged().on_template().cortex.astype(np.float32), 0.7)
    print("| scan | mL as it is | cortex 5 % brighter | 10 % | 20 % |\n|---|---|---|---|---|")
    gains = []
    for entry in [*json.loads(args.sets.read_text()), HEALTHY]:
        for scan in read(entry, args.sources, args.derivatives):
            before, *after = marked(scan, cortex, bundle)
            gains.append(max(after) - before)
            row = [before, *(value - before for value in after)]
            print(f"| {scan.name} | {row[0]:.2f} | "
                  + " | ".join(f"{gain:+.2f}" for gain in row[1:]) + " |", flush=True)  # fmt: skip
    within = sum(gain <= 1 for gain in gains)
    print(f"\nLargest gain {max(gains):.2f} mL; at most 1 mL in {within} of {len(gains)} scans.")


if __name__ == "__main__":
    main()
