"""Measure what tags of findings are worth, and what becomes of leaks of the brain mask.

``python benchmarks/tags.py benchmarks/development_sets.json --sources SOURCES --derivatives OUTPUTS
--transforms AFFINES [--brains BRAINS]`` where OUTPUTS holds a folder for each dataset of the list,
as ``uadbids SOURCES/<bids> OUTPUTS/<bids> participant`` made it, and AFFINES the ``affine.txt`` of
each scan's node ``preprocess`` (a work directory has them) as ``<bids>__<scan>.txt``. BRAINS may
hold reference brain masks on the template grid, ``<bids>__<scan>.nii.gz``, such as HD-BET's. Maps
and findings are those of OUTPUTS; with ``--brighten 0.2`` they are made anew from scans whose
normal cortex was made brighter (0: from the scans as they are), with ``--residual tfce --threshold
3.02`` by that map.

A finding counts as right when it touches a labelled lesion. Constants of the tag ``likely`` are
chosen once more on all sets but one, and judged on that one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from reader_sets import HEALTHY, Scan, read
from scipy import ndimage

from uadbids.detection.postprocess import describe_components
from uadbids.detection.tags import tag
from uadbids.model.bundle import find_bundle
from uadbids.pipeline.detect import detect, inside_template
from uadbids.pipeline.findings import Judge
from uadbids.pipeline.records import Detected, DetectOptions, Preprocessed
from uadbids.preproc.atlas import Atlas
from uadbids.preproc.transform import read_transform
from uadbids.qc.facts import Facts
from uadbids.qc.flags import judge as judge_facts

SPACING = (1.0, 1.0, 1.0)
# Where two good brain masks differ by more, one of them is wrong.
OUTSIDE_MM = 2.0
VOLUMES_ML, HEIGHTS = (0.03, 0.05, 0.1, 0.2, 0.3), (1.0, 1.25, 1.5, 1.75, 2.0)
# Of the Desikan-Killiany atlas: cingulate and medial frontal cortex, insula, cerebellar cortex.
MEDIAL, INSULA, CEREBELLUM, MEDIAL_MM = (2, 10, 23, 26, 14, 28, 17), 35, (8, 47), 18.0
# A tag that few findings have would be right most often, and of no use.
LEAST_SHARE = 0.25
NO_LABELS = {"name": "open-ms", "bids": "open-ms"}


def brighten(volume: Path, xfm: Path, affine: Path, share: float, folder: Path) -> Path:
    """Make cerebellar, cingulate, medial frontal and insular cortex brighter by a share."""
    image, atlas = nib.load(volume), nib.load(Atlas.packaged().path)
    labels = np.asarray(atlas.dataobj).astype(int)
    x = apply_affine(atlas.affine, np.moveaxis(np.indices(labels.shape), 0, -1))[..., 0]
    cortex = labels % 1000
    medial = np.isin(cortex, MEDIAL) & (np.abs(x) < MEDIAL_MM) | (cortex == INSULA)
    bright = ((labels > 1000) & medial) | np.isin(labels, CEREBELLUM)
    there = np.linalg.inv(read_transform(affine)) @ read_transform(xfm) @ image.affine
    matrix = np.linalg.inv(atlas.affine) @ there
    weight = ndimage.affine_transform(
        bright.astype(np.float32), matrix[:3, :3], matrix[:3, 3], output_shape=image.shape, order=1
    )
    values = np.asarray(image.dataobj, dtype=np.float32)
    level = np.median(values[values > 0])
    # Grey matter, not the fluid of sulci.
    weight = ndimage.gaussian_filter(weight, 0.7) * np.clip((values / level - 0.6) / 0.2, 0, 1)
    out = folder / "brightened.nii.gz"
    nib.Nifti1Image(values * (1 + share * weight), image.affine).to_filename(out)
    return out


def written(stem: str) -> Detected:
    """Read map and findings of a scan from the derivatives."""
    files = {
        "anomaly": Path(f"{stem}_space-UADBIDS_desc-anomaly_FLAIR.nii.gz"),
        "components": Path(f"{stem}_space-UADBIDS_seg-anomaly_dseg.nii.gz"),
    }
    sidecar = files["anomaly"].with_name(files["anomaly"].name.replace(".nii.gz", ".json"))
    return Detected(files, Facts({"Threshold": json.loads(sidecar.read_text())["Threshold"]}))


def findings(
    scan: Scan,
    options: DetectOptions | None,
    stem: str,
    affine: Path,
    brain: np.ndarray | None,
    share: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """Look at a scan; one row for each finding on the template grid."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(f"{stem}_{name}") for name in (
            "from-orig_to-UADBIDS_mode-image_xfm.txt",
            "space-UADBIDS_desc-preproc_FLAIR.nii.gz",
            "space-UADBIDS_label-brain_mask.nii.gz",
        )]  # fmt: skip
        if options:
            files[1] = brighten(files[1], files[0], affine, share, Path(folder))
        given = Preprocessed(
            files[1], files[1], files[2], files[0], affine, files[1], files[2], Facts()
        )
        found = detect(given, Path(folder), options) if options else written(stem)
        judge = Judge(given, found)
        inside = inside_template(given, scan.brain)
        score = np.asarray(nib.load(found.files["anomaly"]).dataobj)
    off = np.zeros(judge.labels.shape, dtype=bool)
    if brain is not None:
        lost = 100 * np.count_nonzero(brain & scan.brain & ~inside) / np.count_nonzero(brain)
        print(f"{scan.name}: {lost:.2f} % of the reference brain not examined", flush=True)
        off = ndimage.distance_transform_edt(~brain) > OUTSIDE_MM
    none = np.zeros(1, dtype=bool)
    near = ndimage.binary_dilation(scan.lesions, iterations=2)
    for part in describe_components(judge.labels, score, SPACING):
        seen = judge.look(part, judge.labels, none)
        name, reason = tag(seen)
        here = judge.labels == part.index
        yield {
            "scan": scan.name,
            "tag": name,
            "reason": reason,
            "volume_ml": seen.volume_ml,
            "height": seen.height,
            "symmetric_grey_ml": seen.symmetric_grey * seen.volume_ml,
            "true_ml": scan.lesions.sum() / 1000,
            "wrong_ml": np.count_nonzero(here & ~near) / 1000,
            "right": bool((here & scan.lesions).any()) if scan.lesions.any() else None,
            "outside": int((here & off).sum()),
        }


def followed(rows: pd.DataFrame) -> pd.DataFrame:
    """Add up symmetric grey matter among the findings of each scan, and say if it is flagged."""
    sums = rows.groupby(["set", "scan"])[["volume_ml", "wrong_ml", "symmetric_grey_ml"]].sum()
    sums["true_ml"] = rows.groupby(["set", "scan"])["true_ml"].first()
    share = sums["symmetric_grey_ml"] / sums["volume_ml"]
    facts = zip(share, sums["volume_ml"], strict=True)
    sums["flagged"] = [
        "follows-normal-tissue" in judge_facts(
            {"SymmetricGreyFraction": part, "FindingVolumeMl": volume}
        )[0]
        for part, volume in facts
    ]  # fmt: skip
    return sums.sort_values("symmetric_grey_ml", ascending=False)


def precision(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Count findings and those that touch a lesion, by a column."""
    table = rows.groupby(by)["right"].agg(["count", "sum", "mean"])
    return table.rename(columns={"count": "findings", "sum": "right", "mean": "precision"})


def likely(rows: pd.DataFrame, volume_ml: float, height: float) -> pd.Series:
    """Say which findings would be likely with other constants."""
    large = (rows["volume_ml"] >= volume_ml) & (rows["height"] >= height)
    return large & (rows["tag"] != "likely-artefact")


def ratio(rows: pd.DataFrame, chosen: pd.Series) -> float:
    """Precision of chosen findings over that of the rest."""
    return float(rows["right"][chosen].mean() / max(rows["right"][~chosen].mean(), 1e-3))


def leave_one_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Choose the constants of ``likely`` on all sets but one, and judge them on that one."""
    lines = []
    for held_out, there in rows.groupby("set"):
        others = rows[rows["set"] != held_out]
        choices = [
            constants
            for constants in product(VOLUMES_ML, HEIGHTS)
            if likely(others, *constants).mean() >= LEAST_SHARE
        ]
        best = max(choices, key=lambda p: ratio(others, likely(others, *p)))
        chosen = likely(there, *best)
        lines.append({
            "set": held_out, "volume_ml": best[0], "height": best[1], "likely": chosen.sum(),
            "likely right": there["right"][chosen].sum(), "rest": (~chosen).sum(),
            "rest right": there["right"][~chosen].sum(),
        })  # fmt: skip
    table = pd.DataFrame(lines)
    total = table.sum(numeric_only=True)
    shares = (total["likely right"] / total["likely"], total["rest right"] / total["rest"])
    print(f"leave one set out: likely {shares[0]:.2f}, rest {shares[1]:.2f}, "
          f"{shares[0] / shares[1]:.2f} times")  # fmt: skip
    return table


def main() -> None:
    """Print precision of tags and reasons, leave-one-set-out, and voxels outside the brain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path)
    for name in ("sources", "derivatives", "transforms"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--brains", type=Path)
    parser.add_argument("--bundle", default="dense3d")
    parser.add_argument("--residual")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--brighten", type=float, metavar="SHARE",
                        help="make findings anew, normal cortex brighter by this")  # fmt: skip
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    asked = {"residual": args.residual, "threshold": args.threshold}
    settings = {key: value for key, value in asked.items() if value is not None}
    if settings and args.brighten is None:
        parser.error("--residual and --threshold need --brighten (0 changes nothing)")
    options = None
    if args.brighten is not None:
        options = DetectOptions(find_bundle(args.bundle), settings=settings)
    rows = []
    for entry in [*json.loads(args.sets.read_text()), HEALTHY, NO_LABELS]:
        for scan in read(entry, args.sources, args.derivatives):
            affine = args.transforms / f"{entry['bids']}__{scan.name}.txt"
            if not affine.is_file():
                continue
            (file,) = (args.derivatives / entry["bids"]).glob(f"sub-*/**/{scan.name}_from-*.txt")
            stem = str(file).removesuffix("_from-orig_to-UADBIDS_mode-image_xfm.txt")
            path = (args.brains or Path()) / f"{entry['bids']}__{scan.name}.nii.gz"
            brain = (
                np.asarray(nib.load(path).dataobj) > 0 if args.brains and path.is_file() else None
            )
            rows += [
                {"set": entry["bids"], **row}
                for row in findings(scan, options, stem, affine, brain, args.brighten or 0)
            ]
    table = pd.DataFrame(rows)
    if args.csv:
        table.to_csv(args.csv, index=False)
    print(followed(table).round(2).to_string(), "\n")
    known = table[table["right"].notna()].astype({"right": float})
    for by in ("tag", "reason", ["set", "tag"]):
        print(precision(known, by).round(2).to_string(), "\n")
    sure = known["tag"] == "likely"
    print(f"likely findings are right {ratio(known, sure):.2f} times as often as the rest")
    print(leave_one_out(known).to_string(index=False), "\n")
    if args.brains:
        outside = table["outside"]
        kept = outside[table["tag"] != "likely-artefact"].sum()
        print(f"voxels over {OUTSIDE_MM:g} mm outside the reference brain: {outside.sum()} marked, "
              f"{kept} of them untagged")  # fmt: skip


if __name__ == "__main__":
    main()
