"""One run of scans that are the same head with one bright ball, under all kinds of headers."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from heads import COARSER, Head, new_dataset, place, save, stripped
from runs import Run, examined_once

VARIANTS = ("plain", "oblique", "flipped", "thick", "permuted", "twoforms")
MOVED, SHIFT = (14, -9, 11), 25.0


class Balls(NamedTuple):
    """Dataset, its run, and the ball's centre in scanner millimetres."""

    root: Path
    run: Run
    centre: np.ndarray

    def centre_of(self, label: str) -> np.ndarray:
        return apply_affine(moved(MOVED, SHIFT), self.centre) if label == "oblique" else self.centre


def moved(degrees: tuple[float, float, float], shift: float) -> np.ndarray:
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    move[:3, 3] = shift
    return move


def brain_in(out: Path, head: Head) -> np.ndarray:
    """Mask that the run of the example found, on the head's grid."""
    (path,) = out.rglob("*_space-orig_label-brain_mask.nii.gz")
    image = nib.load(path)
    mask = Head(np.asarray(image.dataobj, dtype=np.float32), image.affine, head.ball)
    return mask.zoomed(COARSER).data > 0.5


def make(root: Path, head: Head, brain: np.ndarray) -> Path:
    """Write the scans: voxels of 1.8 x 1.8 x 3 mm, and all but one without skull."""
    new_dataset(root)
    bare = Head(np.where(brain, head.data, 0).astype(np.float32), head.affine, head.ball)
    stripped(place(root, "plain"), bare, data=bare.data.astype(np.int16))
    stripped(place(root, "oblique"), bare.moved(moved(MOVED, SHIFT)))
    stripped(place(root, "flipped"), bare.reordered((0, 1, 2), (-1, 1, 1)))
    # Every other slice: voxels of 6 mm.
    every_other = np.diag([1.0, 1.0, 2.0, 1.0])
    every_other[2, 3] = 1
    stripped(
        place(root, "thick"),
        Head(bare.data[:, :, 1::2].copy(), bare.affine @ every_other, bare.ball),
    )
    # Axes in the order superior, left, anterior: a sagittal acquisition's. Its brain has to be
    # found.
    save(place(root, "permuted"), head.reordered((1, 2, 0), (1, 1, 1)))
    two_forms = (moved((0, 0, 20), 40.0) @ bare.affine, 1)
    stripped(place(root, "twoforms"), bare, qform=two_forms)
    return root


@pytest.fixture(scope="session")
def balls(made_once, example_run: Run, example_flair: Path) -> Balls:
    """Only to be looked at."""
    head = Head.read(example_flair)
    brain = brain_in(example_run.out, head)

    def dataset(folder: Path) -> Path:
        return make(folder / "raw", head, brain)

    run = examined_once(made_once, "balls", dataset)
    return Balls(run.out.parent / "raw", run, head.ball)
