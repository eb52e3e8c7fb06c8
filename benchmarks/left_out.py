"""Leave each set out of all choices that made the reader's map, and measure it on that set.

``python benchmarks/left_out.py benchmarks/development_sets.json --sources SOURCES
--derivatives OUTPUTS [--bundle dense3d] [--readers NAME=WEIGHTS ...] [--nprocs 2]`` with folders as
for ``reader_sets.py``. WEIGHTS are of further readers that could have been packaged; the bundle's
own is always among them, as it is and without the reconstruction. Every combination of reader,
power of its probability, clusters, confirmation of large clusters, boundary and threshold is tried
on every scan. For each set the combination with the best mean Dice over the other sets is taken.
The baselines keep their best threshold of the very set.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from reader_sets import (
    CHOICES,
    CPU,
    SMALLEST,
    Scan,
    arguments,
    baselines,
    dice,
    oracles,
    precision,
    read,
)

from uadbids.detection import residuals
from uadbids.detection.detect import SPACING
from uadbids.detection.erosion import examined_part
from uadbids.detection.examine import (
    NORMAL_SHARE,
    ReaderScan,
    around_brain,
    examine,
    lesion_probability,
)
from uadbids.detection.postprocess import Boundary, segment
from uadbids.detection.residuals import Pair
from uadbids.model.bundle import READER_FILE, Bundle, find_bundle, load_bundle
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader
from uadbids.model.weights import load_weights
from uadbids.preproc.template import Template

PACKAGED = "packaged"
UNSEEING = "without reconstruction"
NOWHERE = Crop((-1, -1, -1), (1, 1, 1))
NEVER = 2.0
"""A probability that no voxel has."""
POWERS = {"root": 1.0, "itself": 2.0}
"""Of the root of the probability, by the name of the factor that it makes."""
CLUSTERS = {"enhanced": (0.15, 0.3, NEVER), "as they are": (NEVER,)}
"""Probability from which large clusters are confirmed; without enhancement there is none."""
BOUNDARIES = {
    "threshold": Boundary(),
    "half height": Boundary(part=0.5),
    "half height, cores": Boundary(part=0.5, fills=True),
}


class Choice(NamedTuple):
    """What makes findings of a scan and its reconstruction."""

    reader: str
    factor: str
    clusters: str
    confirmed_from: float
    boundary: str
    threshold: float


DEFAULT = Choice(PACKAGED, "root", "enhanced", 0.3, "half height, cores", 2.3)
"""What the product does, with the nearest of the thresholds."""


def with_reader(reader: Reader, weights: Path) -> Reader:
    """Give a reader, which is changed, the weights of another."""
    reader.load_state_dict(load_weights(weights, weights.read_bytes(), reader.state_dict()))
    return reader


def pairs(scan: Scan, bundle: Bundle, weights: dict[str, Path]) -> Iterator[tuple[str, Pair, Crop]]:
    """Yield what the map is made of, as `examine` prepares it, for each reader."""
    crop, settings = bundle.card.crop, bundle.card.detection
    rebuilt = examine(
        scan.volume, scan.brain, bundle.model, crop, settings, device=CPU, kind="positive"
    ).reconstruction
    whole = np.where(scan.brain, scan.volume, 0).astype(np.float32)
    normal = Template.packaged().normal_brightness()
    cut, head = around_brain(ReaderScan(whole, rebuilt, scan.brain, crop, normal))
    examined = head.apply(examined_part(scan.brain, settings.erosion_mm, None))
    for name, path in weights.items():
        shown = cut._replace(crop=NOWHERE) if name == UNSEEING else cut
        probability = lesion_probability(with_reader(bundle.reader, path), shown, CPU)
        yield name, Pair(
            cut.volume, cut.reconstruction, cut.brain, settings.smoothing_mm, examined,
            NORMAL_SHARE * cut.normal, probability,
        ), head  # fmt: skip


def maps(pair: Pair) -> Iterator[tuple[tuple[str, str, float], np.ndarray]]:
    """Yield every map of one reader, by what made it."""
    for factor, power in POWERS.items():
        raised = replace(pair, probability=pair.probability**power)
        for clusters, limits in CLUSTERS.items():
            for limit in limits:
                with ExitStack() as changed:
                    changed.enter_context(patch.object(residuals, "_CONFIRMING", limit**power))
                    if clusters != "enhanced":
                        changed.enter_context(patch.object(residuals, "enhance", np.multiply))
                    yield (factor, clusters, limit), raised.read()


def measure(scan: Scan, bundle: Bundle, weights: dict[str, Path]) -> dict[Choice | str, float]:
    """Dice of a scan by choice, average precision of its maps, and its baselines."""
    figures: dict[Choice | str, float] = {**baselines(scan, bundle)}
    for name, pair, head in pairs(scan, bundle, weights):
        where = head.restore(pair.examined, scan.brain.shape)
        for made, cut in maps(pair):
            scores = head.restore(cut, scan.brain.shape)
            figures[map_name(name, *made)] = precision(scores, scan)
            for (kind, boundary), limit in itertools.product(BOUNDARIES.items(), CHOICES):
                mask = segment(
                    scores, where, threshold=limit, min_volume_mm3=SMALLEST, spacing=SPACING,
                    boundary=boundary,
                )  # fmt: skip
                figures[Choice(name, *made, kind, limit)] = dice(mask > 0, scan.lesions)
    return figures


def map_name(*made: object) -> str:
    """Name of the average precision of a map, by the first four parts of its choices."""
    return " ".join(map(str, ("AP", *made)))


def average_precision(mean: dict, choice: Choice) -> float:
    """Return that of the map of a choice."""
    return mean[map_name(*choice[:4])]


def means(entry: dict, args: argparse.Namespace, weights: dict[str, Path]) -> dict:
    """Mean figures of a set."""
    bundle = load_bundle(find_bundle(args.bundle), device="cpu")
    scans = read(entry, args.sources, args.derivatives)
    with ProcessPoolExecutor(args.nprocs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        rows = list(pool.map(partial(measure, bundle=bundle, weights=weights), scans))
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def main() -> None:
    """Print what the others choose for each set, and its figures there."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--readers", nargs="*", default=[], metavar="NAME=WEIGHTS")
    parser.add_argument("--nprocs", type=int, default=2)
    args = parser.parse_args()
    weights = dict.fromkeys((PACKAGED, UNSEEING), find_bundle(args.bundle) / READER_FILE)
    weights |= {name: Path(path) for name, path in (one.split("=") for one in args.readers)}
    sets = {}
    for entry in json.loads(args.sets.read_text()):
        sets[entry["bids"]] = means(entry, args, weights)
        print(entry["bids"], flush=True, file=sys.stderr)
    choices = [key for key in next(iter(sets.values())) if isinstance(key, Choice)]
    print(f"{len(choices)} combinations\n")
    print("| set left out | chosen by the others | Dice | oracle z | oracle equalised "
          "| AP | AP z | AP equalised |\n|---" + "|---" * 7 + "|")  # fmt: skip
    rows = []
    for name, mean in sets.items():
        others = [other for key, other in sets.items() if key != name]
        chosen = max(choices, key=lambda choice: sum(other[choice] for other in others))
        rows.append([mean[chosen], *oracles(mean), average_precision(mean, chosen),
                     mean["robust z: AP"], mean["equalised: AP"]])  # fmt: skip
        show(name, ", ".join(map(str, chosen)), rows[-1])
    show("mean", "", np.mean(rows, axis=0))
    best = max(choices, key=lambda choice: sum(mean[choice] for mean in sets.values()))
    print(f"\nbest on all sets: {', '.join(map(str, best))}\n")
    print(f"| as the product, at {DEFAULT.threshold}: Dice, AP | " + " | ".join(sets)
          + " | mean |\n|---" + "|---" * (len(sets) + 1) + "|")  # fmt: skip
    for title, choice in [
        *((name, DEFAULT._replace(reader=name)) for name in weights), ("best on all sets", best),
    ]:  # fmt: skip
        found = [(mean[choice], average_precision(mean, choice)) for mean in sets.values()]
        found.append(tuple(np.mean(found, axis=0)))
        print(f"| {title} | " + " | ".join("{:.3f}, {:.3f}".format(*pair) for pair in found) + " |")


def show(name: str, chosen: str, values: Sequence[float]) -> None:
    """Print a row."""
    print(f"| {name} | {chosen} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


if __name__ == "__main__":
    main()
