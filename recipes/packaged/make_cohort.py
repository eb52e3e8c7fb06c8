"""Gather the cohort of the packaged models into one BIDS dataset of links.

``python recipes/packaged/make_cohort.py SOURCES COHORT`` where SOURCES holds the BIDS datasets
``nichart`` (with ``derivatives/dlwmls``), ``open-ms`` and ``healthy-few``. Who is trained on, held
out for calibration, or kept back for development is written in ``split.tsv`` beside this file.
"""

import csv
import json
import os
import shutil
import sys
from pathlib import Path


def main(sources: Path, cohort: Path) -> None:
    """Link the images and lesion masks of everyone who is trained on or held out."""
    shutil.rmtree(cohort, ignore_errors=True)
    with (Path(__file__).parent / "split.tsv").open() as stream:
        rows = [
            row for row in csv.DictReader(stream, delimiter="\t") if row["split"] != "kept back"
        ]
    for row in rows:
        label = label_of(row)
        root = sources / row["dataset"]
        for kind, where in (("", root), ("derivatives/lesions", root / "derivatives" / "dlwmls")):
            for path in sorted(where.glob(f"sub-{row['subject']}/**/anat/sub-*")):
                relative = Path(kind, *path.relative_to(where).parts)
                name = str(relative).replace(f"sub-{row['subject']}", f"sub-{label}")
                (cohort / name).parent.mkdir(parents=True, exist_ok=True)
                os.symlink(path.resolve(), cohort / name)
    for folder, kind in ((cohort, "raw"), (cohort / "derivatives" / "lesions", "derivative")):
        about = {
            "Name": "Cohort of the packaged models",
            "BIDSVersion": "1.10.0",
            "DatasetType": kind,
        }
        (folder / "dataset_description.json").write_text(json.dumps(about, indent=2) + "\n")
    held_out = [
        r["dataset"].replace("-", "") + r["subject"] for r in rows if r["split"] == "held out"
    ]
    (cohort / "held_out.txt").write_text("\n".join(sorted(held_out)) + "\n")


def label_of(row: dict[str, str]) -> str:
    """Name a participant so that two sources cannot clash."""
    return row["dataset"].replace("-", "") + row["subject"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
