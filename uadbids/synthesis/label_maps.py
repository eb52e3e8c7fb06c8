"""Find and read label maps of heads; refuse what is none."""

from pathlib import Path

import numpy as np
import torch

from uadbids.errors import ScanError, UsageError
from uadbids.preproc.volume import read_canonical
from uadbids.synthesis.tissues import unknown_labels

VOXEL_TOLERANCE_MM = 0.05


def find_label_maps(labels: Path) -> list[Path]:
    """Return the label maps of a folder and its subfolders, sorted, or the one file given."""
    found = [labels] if labels.is_file() else sorted(labels.rglob("*.nii*"))
    found = [path for path in found if path.name.endswith((".nii", ".nii.gz"))]
    if not found:
        raise UsageError(f"{labels}: there is no label map (.nii or .nii.gz) in it")
    return found


def read_labels(path: Path) -> torch.Tensor:
    """Read a label map of 1 mm as int32, with its axes turned to right, front, up.

    UsageError when the file is no label map of 1 mm, or has labels that are not known.
    """
    try:
        image = read_canonical(path)
    except ScanError as error:
        raise UsageError(str(error)) from error
    data, sizes = image.data, np.asarray(image.spacing)
    if np.abs(sizes - 1).max() > VOXEL_TOLERANCE_MM:
        given = " x ".join(f"{size:.2f}" for size in sizes)
        raise UsageError(
            f"{path}: voxels of {given} mm; resample the label map to 1 mm (nearest neighbour)"
        )
    # Some programs write labels as floating point numbers; a whole number is a label all the same.
    if not np.isfinite(data).all() or (data != np.round(data)).any() or data.min() < 0:
        raise UsageError(f"{path}: this is no label map: it holds values that are no labels")
    unknown = unknown_labels(np.unique(data).astype(int).tolist())
    if unknown:
        listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise UsageError(
            f"{path}: unknown labels ({listed}); give FreeSurfer's labels (docs/synthesize.md)"
        )
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.int32))
