"""Compare the outputs of two versions: every image, table, figure and JSON field.

    python benchmarks/compare_outputs.py BEFORE AFTER [--only sub-01] [--renamed excess=excess-z]

Times, hashes of outputs, versions, texts that explain (`Description`) and words in figures may
differ; so may what
`--renamed` names. Exit status 1 where anything else does.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

MAY_DIFFER = {"Description", "StageSeconds", "OutputSHA256", "UadbidsVersion", "GeneratedBy",
              "SourceDatasets", "DatasetLinks"}  # fmt: skip
FOLDERS = ("log", "logs", "code")
ENDINGS = (".nii.gz", ".tsv", ".json", ".svg", ".txt")


def files(root: Path, only: str) -> dict[str, Path]:
    """Find outputs by their path from the root; crash files and the model's card are left out."""
    found = (path for ending in ENDINGS for path in root.rglob(f"*{ending}"))
    named = {str(path.relative_to(root)): path for path in found}
    return {
        name: path
        for name, path in named.items()
        if not set(FOLDERS) & set(Path(name).parts) and name.startswith(only)
    }


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Put the new names for the old ones, as keys and as values."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def differences(before: Path, after: Path, names: dict[str, str]) -> Iterator[str]:
    """Yield what differs between two files."""
    if before.name.endswith(".nii.gz"):
        yield from image_differences(before, after)
    elif before.suffix == ".json":
        old = renamed(json.loads(before.read_text()), names)
        new = json.loads(after.read_text())
        for key in sorted((old.keys() | new.keys()) - MAY_DIFFER):
            if without_texts(old.get(key)) != without_texts(new.get(key)):
                yield f"{key}: {old.get(key)!r} against {new.get(key)!r}"
    elif before.suffix == ".tsv":
        old, new = (list(csv.DictReader(path.open(), delimiter="\t")) for path in (before, after))
        if renamed(old, names) != new:
            yield f"rows: {renamed(old, names)} against {new}"
    elif drawing(before) != drawing(after):
        yield "content"


def drawing(path: Path) -> bytes:
    """Return the content of a file; of a figure without its words."""
    content = path.read_bytes()
    return (
        re.sub(rb">[^<]*<|aria-label=\"[^\"]*\"", b"><", content)
        if path.suffix == ".svg"
        else content
    )


def image_differences(before: Path, after: Path) -> Iterator[str]:
    """Yield what differs between two images."""
    one, two = nib.load(before), nib.load(after)
    old, new = np.asarray(one.dataobj), np.asarray(two.dataobj)
    if not np.array_equal(one.affine, two.affine):
        yield "affine"
    if old.shape != new.shape or old.dtype != new.dtype:
        yield f"{old.shape} {old.dtype} against {new.shape} {new.dtype}"
    elif not np.array_equal(old, new):
        gap = np.abs(old.astype(float) - new.astype(float))
        yield f"{np.count_nonzero(gap)} voxels, by up to {gap.max():g}"


def without_texts(value: Any) -> Any:
    """Leave out explanations inside a field."""
    if isinstance(value, dict):
        return {key: without_texts(item) for key, item in value.items() if key not in MAY_DIFFER}
    return value


def main() -> int:
    """Print the differences; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--only", default="", help="start of the paths to compare")
    parser.add_argument("--renamed", action="append", default=[], metavar="OLD=NEW")
    args = parser.parse_args()
    names = dict(pair.split("=", 1) for pair in args.renamed)
    old, new = files(args.before, args.only), files(args.after, args.only)
    found = [f"{name}: only before" for name in sorted(old.keys() - new.keys())]
    found += [f"{name}: only after" for name in sorted(new.keys() - old.keys())]
    both = sorted(old.keys() & new.keys())
    for name in both:
        found += [f"{name}: {what}" for what in differences(old[name], new[name], names)]
    print(*found, f"{len(both)} files compared, {len(found)} differences", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
