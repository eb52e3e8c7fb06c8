"""Measure bundles and intensity alone on the development cases; print one table a set.

``python benchmarks/development.py SOURCES COHORT BUNDLE... --work-dir WORK``, and ``--brief`` for
baselines and bundles alone, ``--write-card`` to put the figures into the cards.

Nobody who was trained on or held out is measured. A lesion counts whole, also where it reaches
out of the slices that a model examines; the baselines look at the same slices. Label-free
thresholds come from the held-out scans at the same false-positive rate for all methods; "oracle"
ones are the best single threshold of a set, found on its own labels, and no method can know them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cases import Case, Cohort, arguments, read_all
from reader_sets import OWN, WITHOUT
from scipy import ndimage
from scoring import SPACING, Examine, Row, measure, print_tables

from uadbids.detection.erosion import erode
from uadbids.detection.examine import Examination, examine
from uadbids.detection.hyperintensity import robust_z
from uadbids.detection.tfce import enhance
from uadbids.evaluation.baselines import equalised
from uadbids.model.bundle import Bundle, load_bundle, save_bundle
from uadbids.model.config import DetectionConfig

MEASURED_ON = (
    "development cases, never trained on or calibrated with; but the kind of residual, its "
    "smoothing, where clusters begin, where lesions end and the default false-positive rate were "
    "chosen on them"
)
RATES = (0.001, 0.005, 0.01)
CPU = torch.device("cpu")
BASELINES = ("equalised intensity", "robust z of intensity")
Results = dict[str, dict[str, Row]]


def intensity(map_of, bundle: Bundle) -> Examine:  # noqa: ANN001
    """Look at intensity alone, where a model would look."""

    def way(volume: np.ndarray, mask: np.ndarray) -> Examination:
        card = bundle.card
        examined = erode(mask, card.detection.erosion_mm, SPACING) & card.crop.mask(mask.shape)
        found = np.where(examined, map_of(volume, mask), 0).astype(np.float32)
        return Examination(np.zeros_like(found), found, examined)

    return way


def smoothed_z(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Robust z of intensity smoothed as the residual is: what the network does not add."""
    sigma = DetectionConfig().smoothing_mm
    share = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(volume * mask, sigma)
    return robust_z(np.divide(total, share, out=np.zeros_like(volume), where=mask), mask)


def model(bundle: Bundle, settings: DetectionConfig) -> Examine:
    """Look with a model."""

    def way(volume: np.ndarray, mask: np.ndarray) -> Examination:
        return examine(volume, mask, bundle.model, bundle.card.crop, settings, device=CPU)

    return way


def clustered(way: Examine) -> Examine:
    """Raise a map by its clusters alone; what is below 0 is no excess."""

    def raised(volume: np.ndarray, mask: np.ndarray) -> Examination:
        found = way(volume, mask)
        return found._replace(anomaly_map=enhance(found.anomaly_map.clip(0), found.examined))

    return raised


def measure_all(bundles: list[Bundle], cohort: Cohort, cases: list[Case], brief: bool) -> Results:
    """Measure the baselines and every bundle; unless brief, also the parts of the first one."""
    first, results = bundles[0], Results()

    def add(name: str, way: Examine, settings: DetectionConfig) -> None:
        results[name] = measure(way, cohort.held_out, cases, settings, rates=RATES, oracle=True)
        print(f"measured: {name}", flush=True)

    default = replace(first.card.detection, residual="tfce")
    # Lesions reach to the threshold, not to half of their height.
    plain = replace(default, residual="excess-z")
    for name, map_of in zip(BASELINES, (equalised, robust_z), strict=True):
        add(name, intensity(map_of, first), plain)
    for bundle in bundles:
        # Readers are measured by reader_sets.py.
        settings = replace(bundle.card.detection, residual="tfce")
        add(bundle.card.name, model(bundle, settings), settings)
    if brief:
        return results
    add("robust z of intensity, smoothed", intensity(smoothed_z, first), plain)
    raised = clustered(intensity(smoothed_z, first))
    add("robust z, smoothed, with clusters", raised, plain)
    add("the same, lesions to half their height", raised, default)
    add(f"{first.card.name}, lesions to the threshold", model(first, default), plain)
    for kind in ("excess-z", "positive"):
        other = replace(default, residual=kind)
        add(f"{first.card.name}, residual '{kind}'", model(first, other), other)
        if kind == "excess-z":
            add(
                f"{first.card.name}, 'excess-z' with clusters",
                clustered(model(first, other)),
                other,
            )
    return results


def write_card(bundle: Bundle, folder: Path, results: Results) -> None:
    """Put the figures of a bundle and of the baselines into its card."""
    own = WITHOUT if bundle.reader else OWN
    shown = {own: bundle.card.name, **{name: name for name in BASELINES}}
    rounded = {
        title: {
            group: {key: round(value, 3) for key, value in row.items()}
            for group, row in results[name].items()
        }
        for title, name in shown.items()
    }
    told = bundle.card.results if bundle.reader else {"measured on": MEASURED_ON}
    card = replace(bundle.card, results={**told, **rounded})
    save_bundle(replace(bundle, card=card), folder)


def main() -> None:
    """Preprocess (or take from the work directory), measure, print."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--brief", action="store_true", help="baselines and bundles alone")
    parser.add_argument("--write-card", action="store_true", help="put the figures into the cards")
    args = parser.parse_args()
    bundles = [load_bundle(folder, device="cpu") for folder in args.bundles]
    cohort, cases = read_all(args)
    results = measure_all(bundles, cohort, cases, args.brief)
    print_tables(results)
    if args.write_card:
        for bundle, folder in zip(bundles, args.bundles, strict=True):
            write_card(bundle, folder, results)


if __name__ == "__main__":
    main()
