"""One run of scans that are the same head with one bright ball, under all kinds of headers."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from heads import Head, new_dataset, place, save, stripped
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


def make(root: Path, head: Head) -> Path:
    """Write the scans: voxels of 1.8 x 1.8 x 3 mm, and all but one without skull."""
    new_dataset(root)
    whole = Head(head.data.astype(np.int16), head.affine, head.ball)
    stripped(place(root, "plain"), whole)
    stripped(place(root, "oblique"), head.moved(moved(MOVED, SHIFT)))
    stripped(place(root, "flipped"), head.reordered((0, 1, 2), (-1, 1, 1)))
    # Every other slice: voxels of 6 mm.
    every_other = np.diag([1.0, 1.0, 2.0, 1.0])
    every_other[2, 3] = 1
    stripped(
        place(root, "thick"),
        Head(head.data[:, :, 1::2].copy(), head.affine @ every_other, head.ball),
    )
    # Axes in the order superior, left, anterior: a sagittal acquisition's. Its brain has to be
    # found.
    save(place(root, "permuted"), head.reordered((1, 2, 0), (1, 1, 1)))
    two_forms = (moved((0, 0, 20), 40.0) @ head.affine, 1)
    stripped(place(root, "twoforms"), head, qform=two_forms)
    return root


@pytest.fixture(scope="session")
def balls(made_once, example_flair: Path) -> Balls:
    """Only to be looked at."""
    head = Head.read(example_flair)

    def dataset(folder: Path) -> Path:
        return make(folder / "raw", head)

    run = examined_once(made_once, "balls", dataset)
    return Balls(run.out.parent / "raw", run, head.ball)
