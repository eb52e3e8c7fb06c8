"""Gather the cohort of the packaged models into one BIDS dataset of links.

``python recipes/packaged/make_cohort.py SOURCES SYNTHETIC COHORT`` where SOURCES holds the BIDS
datasets ``nichart`` (with ``derivatives/dlwmls``), ``open-ms`` and ``healthy-few``, and SYNTHETIC
is what ``uadbids synthesize`` made. Who is trained on, held out for calibration, or set apart to
test in development, is written in ``split.tsv`` beside this file; synthetic scans are trained on.
"""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np


def main(sources: Path, synthetic: Path, cohort: Path) -> None:
    """Link the images and lesion masks of everyone who is trained on or held out."""
    shutil.rmtree(cohort, ignore_errors=True)
    with (Path(__file__).parent / "split.tsv").open() as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] != "test"]
    for row in rows:
        label = label_of(row)
        root = sources / row["dataset"]
        for kind, where in (("", root), ("derivatives/lesions", root / "derivatives" / "dlwmls")):
            for path in sorted(where.glob(f"sub-{row['subject']}/**/anat/sub-*")):
                relative = Path(kind, *path.relative_to(where).parts)
                name = str(relative).replace(f"sub-{row['subject']}", f"sub-{label}")
                link(path, cohort / name)
    for path in sorted(synthetic.glob("sub-*/anat/sub-*")):
        link(path, cohort / path.relative_to(synthetic))
        if path.name.endswith("_FLAIR.nii.gz"):
            where = Path("derivatives", "lesions", *path.relative_to(synthetic).parts)
            without_lesions(path, cohort / str(where).replace("_FLAIR", "_label-lesion_mask"))
    for folder, kind in ((cohort, "raw"), (cohort / "derivatives" / "lesions", "derivative")):
        about = {
            "Name": "Cohort of the packaged models",
            "BIDSVersion": "1.10.0",
            "DatasetType": kind,
        }
        (folder / "dataset_description.json").write_text(json.dumps(about, indent=2) + "\n")
    here = {path.name.removeprefix("sub-") for path in cohort.glob("sub-*")}
    held_out = [label_of(row) for row in rows if row["split"] == "held out"]
    held_out = [label for label in held_out if label in here]
    (cohort / "held_out.txt").write_text("\n".join(sorted(set(held_out))) + "\n")


def label_of(row: dict[str, str]) -> str:
    """Name a participant so that two sources cannot clash."""
    return row["dataset"].replace("-", "") + row["subject"]


def link(path: Path, target: Path) -> None:
    """Link to a file, and make the folder for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(path.resolve(), target)


def without_lesions(scan: Path, target: Path) -> None:
    """Write an empty lesion mask: bright voxels of a synthetic scan are normal ones."""
    image = nib.load(scan)
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.zeros(image.shape, dtype=np.uint8), image.affine).to_filename(target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
