"""Rigid alignment of the sessions of one person, half-way between all of them."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import ants
import numpy as np
import numpy.typing as npt
from scipy.linalg import expm, logm

from uadbids.errors import ScanError
from uadbids.preproc.transform import read_transform, write_transform

Matrix = npt.NDArray[np.float64]

_SEARCH: dict[str, Any] = {
    "type_of_transform": "Rigid",
    "aff_iterations": (200, 100),
    "aff_shrink_factors": (2, 1),
    "aff_smoothing_sigmas": (1, 0),
    "aff_random_sampling_rate": 0.25,
}
# Larger voxels than those of most scans: a tenth of one is what the search is exact to.
_SPACING_MM = 2.0
# The mean of a few small transforms is exact to a thousandth of a millimetre after two rounds.
_ROUNDS = 5


class Brain(NamedTuple):
    """A session: bias-corrected scan, brain mask on its grid, its transform to the template."""

    corrected: Path
    mask: Path
    xfm: Path


def align_sessions(brains: Sequence[Brain]) -> list[Matrix]:
    """Align the sessions of one person with each other on the template, none favoured.

    Every session is registered to the first one and the first one to it (rigid, brain to brain);
    the mean of the two directions is kept. The common space is where the rigid transforms from
    the sessions' own places on the template have the mean (of their logarithms, Arsigny 2007)
    nothing: for two sessions it is half-way between them, and their errors of alignment with the
    template cancel in part.

    Matrices, (4, 4), lead from points of the template (mm, RAS) to points of each session, of which
    there are at least two. ScanError when two sessions could not be aligned.
    """
    own = [read_transform(brain.xfm) for brain in brains]
    images = [_image(brain) for brain in brains]
    to_each: list[Matrix] = [np.eye(4)]
    for number, (image, there) in enumerate(zip(images[1:], own[1:], strict=True), start=2):
        start = there @ np.linalg.inv(own[0])
        try:
            forth = _register(images[0], image, start)
            back = _register(image, images[0], np.linalg.inv(start))
        except (RuntimeError, IndexError) as error:
            raise ScanError(
                f"session {number} of {len(brains)} could not be aligned with the first "
                f"({error}); look at both brain masks in their reports"
            ) from error
        to_each.append(mean_rigid([forth, np.asarray(np.linalg.inv(back), dtype=float)]))
    return halfway(own, to_each)


def halfway(own: Sequence[Matrix], to_each: Sequence[Matrix]) -> list[Matrix]:
    """Share out the differences between sessions evenly; all matrices have the shape (4, 4).

    ``own`` lead from the template to each session, as each was aligned by itself, ``to_each`` from
    the first session to each; the first of them is the identity. The result leads from the template
    to each session, consistent with ``to_each``. Of the transforms that lead there from ``own`` the
    logarithms have the mean 0.
    """
    common = mean_rigid([
        np.linalg.inv(own[0]) @ np.linalg.inv(first) @ there
        for first, there in zip(to_each, own, strict=True)
    ])  # fmt: skip
    return [there @ own[0] @ common for there in to_each]


def mean_rigid(transforms: Sequence[Matrix]) -> Matrix:
    """Mean of rigid transforms that are near each other, each of shape (4, 4)."""
    mean = transforms[0]
    for _ in range(_ROUNDS):
        logarithms = [np.real(logm(np.linalg.inv(mean) @ one)) for one in transforms]
        mean = mean @ expm(np.mean(logarithms, axis=0))
    return mean


def _image(brain: Brain) -> ants.ANTsImage:
    mask = ants.image_read(str(brain.mask), pixeltype="float")
    image = ants.image_read(str(brain.corrected), pixeltype="float") * mask
    cropped = ants.crop_image(image, mask)
    return ants.resample_image(cropped, (_SPACING_MM,) * 3, interp_type=0)


def _register(fixed: ants.ANTsImage, moving: ants.ANTsImage, start: Matrix) -> Matrix:
    """Search from a start; both lead from points of the fixed image to those of the moving one."""
    with TemporaryDirectory() as folder:
        first, found = Path(folder, "start.txt"), Path(folder, "found.txt")
        write_transform(start, first)
        result = ants.registration(
            fixed, moving, outprefix=f"{folder}/", initial_transform=str(first), **_SEARCH
        )
        ants.write_transform(ants.read_transform(result["fwdtransforms"][0]), str(found))
        return read_transform(found)
