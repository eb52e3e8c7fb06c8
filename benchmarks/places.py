"""Where false positives lie, and which lesions are found, before and after each step of the map.

``python benchmarks/places.py SOURCES COHORT BUNDLE... --work-dir WORK``

Two tables for the development cases at the default false-positive rate, whose threshold comes from
the held-out scans by the same way of making maps. The first holds millilitres a scan that no mask
covers, by place: beside a labelled lesion (up to 3 mm, where borders are a matter of opinion), at
the rim of the examined brain (up to 3 mm), and else where the atlas puts the component. The second
holds the share of labelled lesions that are touched, by size, and the share of found components
that touch one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from cases import HEALTHY, Case, Cohort, arguments, read_all
from development import BASELINES, intensity, model
from nibabel.affines import apply_affine
from scipy import ndimage
from scoring import SPACING, Examine, calibration_of, lesions_of

from uadbids.detection.erosion import erode
from uadbids.detection.hyperintensity import robust_z
from uadbids.detection.postprocess import label_components
from uadbids.evaluation.metrics import lesion_wise
from uadbids.model.bundle import Bundle, load_bundle
from uadbids.model.config import DetectionConfig
from uadbids.preproc.atlas import Atlas
from uadbids.preproc.template import Template

BESIDE_MM = 3.0
PLACES = (
    "beside a lesion",
    "rim",
    "beside a ventricle",
    "ventricle",
    "white matter",
    "cortex",
    "insula",
    "temporal lobe",
    "deep grey matter",
    "brain stem, cerebellum",
)
SIZES = {"under 50 mm3": (0, 50), "50 to 500 mm3": (50, 500), "over 500 mm3": (500, np.inf)}
_DEEP = ("basal ganglia", "thalamus", "corpus callosum")


def place_of(points: np.ndarray, atlas: Atlas) -> str:
    """One of `PLACES` for a component inside the brain, from the words of the product."""
    place = atlas.locate(points)
    if place.zone == "periventricular":
        return "beside a ventricle"
    if place.region in ("ventricle", "insula", "temporal lobe"):
        return place.region
    if place.region in _DEEP:
        return "deep grey matter"
    if place.region in ("brain stem", "cerebellum"):
        return "brain stem, cerebellum"
    return "white matter" if place.zone == "deep white matter" else "cortex"


def misplaced(found: np.ndarray, examined: np.ndarray, case: Case, atlas: Atlas) -> Counter[str]:
    """Millilitres without a label, by place."""
    affine = Template.packaged().affine
    beside = np.zeros_like(found)
    if case.lesions.any():
        beside = ndimage.distance_transform_edt(~case.lesions) <= BESIDE_MM
    rim = examined & ~erode(examined, BESIDE_MM, SPACING)
    wrong, ml = found & ~case.lesions, Counter[str]()
    ml["beside a lesion"] = (wrong & beside).sum() / 1000
    ml["rim"] = (wrong & ~beside & rim).sum() / 1000
    labels = label_components(wrong & ~beside & ~rim)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        voxels = np.argwhere(labels[box] == number) + [part.start for part in box]
        ml[place_of(apply_affine(affine, voxels), atlas)] += len(voxels) / 1000
    return ml


def touched(found: np.ndarray, lesions: np.ndarray) -> tuple[Counter[str], Counter[str]]:
    """Lesions by size, and those of them that something was found in; found components too."""
    there, hit = Counter[str](), Counter[str]()
    labels = label_components(lesions)
    sizes = np.bincount(labels.ravel())
    inside = np.bincount(labels[found], minlength=len(sizes)) > 0
    for name, (low, high) in SIZES.items():
        chosen = (sizes >= low) & (sizes < high)
        chosen[0] = False
        there[name], hit[name] = int(chosen.sum()), int((chosen & inside).sum())
    counts = lesion_wise(found, lesions)
    there["found"], hit["found"] = counts.n_found, counts.n_right
    return there, hit


def measure(
    name: str, way: Examine, settings: DetectionConfig, cohort: Cohort, cases: Sequence[Case]
) -> None:
    """Print one row of each table."""
    limit = calibration_of(way, cohort.held_out).threshold(settings.false_positive_rate)
    atlas = Atlas.packaged()
    for title, healthy in (("lesions", False), ("healthy", True)):
        members = [case for case in cases if (case.group == HEALTHY) == healthy]
        ml, there, hit = Counter[str](), Counter[str](), Counter[str]()
        for case in members:
            exam = way(case.volume, case.mask)
            found = lesions_of(exam, limit, settings)
            ml.update(misplaced(found, exam.examined, case, atlas))
            for total, part in zip((there, hit), touched(found, case.lesions), strict=True):
                total.update(part)
        shown = " | ".join(f"{ml[place] / len(members):.2f}" for place in PLACES)
        print(f"| {title} | {name} | {shown} | {ml.total() / len(members):.2f} |", flush=True)
        if not healthy:
            counts = (f"{hit[key]} of {there[key]}" for key in (*SIZES, "found"))
            print(f"> | {name} | " + " | ".join(counts) + " |", flush=True)


def ways(bundles: Sequence[Bundle]) -> Iterator[tuple[str, Examine, DetectionConfig]]:
    """Ways of making maps and how they are cut, from intensity to the default."""
    first = bundles[0]
    plain, excess = (replace(first.card.detection, residual=k) for k in ("positive", "excess-z"))
    yield BASELINES[1], intensity(robust_z, first), plain
    for settings in (plain, excess):
        yield f"{first.card.name}, '{settings.residual}'", model(first, settings), settings
    for bundle in bundles:
        yield bundle.card.name, model(bundle, bundle.card.detection), bundle.card.detection


def main() -> None:
    """Preprocess (or take from the work directory), measure, print."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    args = parser.parse_args()
    bundles = [load_bundle(folder, device="cpu") for folder in args.bundles]
    cohort, cases = read_all(args)
    print("| scans | map | " + " | ".join(PLACES) + " | all |")
    print("|---" * (len(PLACES) + 3) + "|")
    print("> | map | " + " | ".join(SIZES) + " | found components that are right |")
    for name, way, settings in ways(bundles):
        measure(name, way, settings, cohort, cases)


if __name__ == "__main__":
    main()
