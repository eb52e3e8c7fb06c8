"""Find and read label maps of heads; refuse what is none."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from uadbids.errors import UsageError
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
    """Read a label map with its axes turned to right, front, up.

    Returns
    -------
    Tensor of int32, shape (X, Y, Z)
        Voxels of 1 mm.

    Raises
    ------
    UsageError
        When the file is no label map of 1 mm, or has labels that are not known.
    """
    try:
        image = nib.as_closest_canonical(nib.load(path))
        data = np.asarray(image.dataobj)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UsageError(f"{path}: this is no readable NIfTI image ({error})") from error
    data = data.squeeze()
    if data.ndim != 3:
        raise UsageError(f"{path}: a label map has three axes, this image has {data.ndim}")
    sizes = np.asarray(image.header.get_zooms()[:3])
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
