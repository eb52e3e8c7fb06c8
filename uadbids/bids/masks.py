"""Find masks that others drew on a scan: of the brain or of lesions, in BIDS datasets."""

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from scipy.spatial.distance import cdist

from uadbids.bids.scan import Scan, parse_entities
from uadbids.errors import UsageError

BRAIN = frozenset({"brain"})
LESIONS = frozenset({"lesion", "WMH", "tumor", "anomaly"})

_TOLERANCE_MM = 0.5
_ADDED = frozenset({"space", "label", "desc", "seg", "res", "den"})


def find_mask(root: Path, scan: Scan, labels: frozenset[str]) -> Path | None:
    """Find the mask of a scan in its own space; None where there is none.

    Where several fit by their names, those on another grid do not.

    Looked for in ``anat`` of the same subject and session, in the dataset, raw or derivative,
    and in its ``derivatives/*``. The entities that name the scan must agree; a mask without
    ``space-`` or with ``space-orig`` lies on the scan's own grid. Those with a ``label-`` or
    ``desc-`` of ``labels`` count.

    UsageError when more than one mask fits: which rater is meant must be said, not guessed.
    """
    found = [path for path in _masks(root, scan) if _fits(path, scan, labels)]
    if len(found) > 1:
        grid = _grid(scan.path)
        found = [path for path in found if grid is None or _lies_on(path, grid)] or found
    if len(found) > 1:
        names = ", ".join(sorted(str(path.relative_to(root)) for path in found))
        raise UsageError(f"{scan.path}: more than one mask fits ({names}); keep one of them")
    return found[0] if found else None


def _masks(root: Path, scan: Scan) -> Iterator[Path]:
    anat = Path(scan.relative_path).parent
    for dataset in (root, *sorted((root / "derivatives").glob("*/"))):
        for ending in ("nii.gz", "nii"):
            yield from (dataset / anat).glob(f"sub-{scan.subject}_*_mask.{ending}")


def _fits(path: Path, scan: Scan, labels: frozenset[str]) -> bool:
    entities = parse_entities(path.name.partition(".")[0].removesuffix("_mask"))
    if not {entities.get("label"), entities.get("desc")} & labels:
        return False
    if entities.get("space", "orig") != "orig":
        return False
    named = {key: value for key, value in entities.items() if key not in _ADDED}
    return all(scan.entities.get(key) == value for key, value in named.items())


def _grid(path: Path) -> tuple[list[int], np.ndarray] | None:
    """Return sizes and corners (8, 3) in mm of an image, whatever the order of its voxels."""
    try:
        image = nib.load(path)
        shape = [int(n) for n in image.shape[:3]]
    except (OSError, EOFError, ValueError, ImageFileError, HeaderDataError):
        return None
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape]), axis=-1).reshape(-1, len(shape))
    return sorted(shape), apply_affine(image.affine, corners)


def _lies_on(path: Path, grid: tuple[list[int], np.ndarray]) -> bool:
    """Return whether an image has the voxels of a grid; True where it cannot be read."""
    there = _grid(path)
    if there is None:
        return True
    return there[0] == grid[0] and bool(cdist(there[1], grid[1]).min(axis=1).max() < _TOLERANCE_MM)
