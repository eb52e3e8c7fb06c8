"""The head of the packaged example on coarser grids: what tests run on that need no brain mask.

A bright ball lies in its white matter at known scanner millimetres: where a scan is examined, its
lesion mask has to hold the ball.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

# White matter of the example, found by eye; it has the value 69 there.
BALL_VOXEL, BALL_MM, BALL_VALUE = (159, 140, 31), 6.0, 160.0
COARSER = (0.5, 0.5, 1.0)


@dataclass(frozen=True)
class Head:
    """Voxels, their place, and where the ball is in scanner millimetres."""

    data: np.ndarray
    affine: np.ndarray
    ball: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "Head":
        """Read the example, at half its resolution in plane: enough, and quicker."""
        image = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32)
        centre = apply_affine(image.affine, BALL_VOXEL)
        grid = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), axis=-1)
        away = np.linalg.norm(apply_affine(image.affine, grid) - centre, axis=-1)
        whole = cls(np.where(away < BALL_MM, BALL_VALUE, data), image.affine, centre)
        return whole.zoomed(COARSER)

    def moved(self, move: np.ndarray) -> "Head":
        """Let the patient lie elsewhere in the scanner."""
        return Head(self.data, move @ self.affine, apply_affine(move, self.ball))

    def reordered(self, axes: tuple[int, ...], flips: tuple[int, ...]) -> "Head":
        """Store the voxels in another order; every voxel stays where it is."""
        order = np.stack([axes, flips], axis=1)
        data = nib.orientations.apply_orientation(self.data, order)
        back = nib.orientations.inv_ornt_aff(order, self.data.shape)
        return Head(np.ascontiguousarray(data), self.affine @ back, self.ball)

    def zoomed(self, factors: tuple[float, float, float]) -> "Head":
        """Resample by factors (above 1: smaller voxels)."""
        shape = np.round(np.array(self.data.shape) * factors).astype(int)
        step = np.array(self.data.shape) / shape
        scale = np.diag([*step, 1.0])
        scale[:3, 3] = (step - 1) / 2
        source = ndimage.gaussian_filter(self.data, np.maximum(0, (step - 1) / 2))
        data = ndimage.affine_transform(
            source, np.diag(step), scale[:3, 3], tuple(shape), order=1, mode="nearest"
        )
        return Head(data.astype(np.float32), self.affine @ scale, self.ball)


def save(
    path: Path,
    head: Head,
    *,
    sform: tuple[np.ndarray, int] | None = None,
    qform: tuple[np.ndarray, int] | None = None,
    data: np.ndarray | None = None,
    dtype: type | None = None,
) -> Head:
    """Write an image; both forms hold the head's affine unless they are given."""
    image = nib.Nifti1Image(head.data if data is None else data, head.affine)
    image.header.set_xyzt_units("mm")
    if dtype is not None:
        image.set_data_dtype(dtype)  # nibabel finds slope and intercept
    image.set_sform(*(sform or (head.affine, 1)))
    image.set_qform(*(qform or (head.affine, 1)))
    image.to_filename(path)
    return head


def without_skull(data: np.ndarray) -> np.ndarray:
    """Cut the brain out: what stays connected when thin sheets are gone."""
    core = ndimage.binary_erosion(data > 35, iterations=3)
    labels, _ = ndimage.label(core)
    largest = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    brain = ndimage.binary_closing(ndimage.binary_dilation(largest, iterations=4), iterations=3)
    return np.where(brain, data, 0).astype(data.dtype)


def stripped(path: Path, head: Head, **how: Any) -> Head:
    """Write an image of a brain, whose sidecar says so: no brain mask has to be found."""
    save(path, head, **how)
    told = path.with_name(path.name.replace(".nii.gz", ".json"))
    told.write_text(json.dumps({"SkullStripped": True}))
    return head


def roughly_stripped(path: Path, head: Head) -> Head:
    """Cut the skull off, roughly."""
    return stripped(path, head, data=without_skull(head.data))


def new_dataset(root: Path) -> Path:
    root.mkdir(parents=True)
    about = {"Name": "heads", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    return root


def place(root: Path, label: str) -> Path:
    path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
    path.parent.mkdir(parents=True)
    return path
