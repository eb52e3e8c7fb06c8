"""The template grid, on which every scan meets the model."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial import KDTree

from uadbids.preproc.display import Display

OUTSIDE_MM = 4.0
"""Voxels farther outside the template's brain are not examined: the brain mask leaks there."""


class _Surfaces(NamedTuple):
    """A brain, its outermost voxels, and those that touch it from outside."""

    brain: npt.NDArray[np.bool_]
    inner: KDTree
    outer: KDTree


@dataclass(frozen=True)
class Template:
    """MNI152 2009a, brain only, cut to 170 x 204 x 170 voxels of 1 mm: uint8 NIfTI images, RAS."""

    t1w: Path
    brain_mask: Path
    bright: Path  # how bright normal grey matter is on FLAIR

    @classmethod
    def packaged(cls) -> Self:
        """Return the template that comes with the package."""
        folder = Path(__file__).parents[1] / "data" / "template"
        names = ("T1w", "label-brain_mask", "desc-bright_FLAIR")
        return cls(*(folder / f"tpl-UADBIDS_{name}.nii.gz" for name in names))

    @property
    def affine(self) -> np.ndarray:
        """Voxel-to-millimetre matrix, shape (4, 4)."""
        return np.asarray(nib.load(self.t1w).affine)

    def normal_brightness(self) -> npt.NDArray[np.float32]:
        """Read how bright normal grey matter is on FLAIR (docs/method.md, 13).

        In robust z, 0 or more, shape (170, 204, 170); 0 outside grey matter.
        """
        return np.asarray(nib.load(self.bright).dataobj, dtype=np.float32)

    def depth(self, points: np.ndarray) -> npt.NDArray[np.float32]:
        """Distance in mm of points, (..., 3) in millimetres (RAS), to the template brain's surface.

        To the nearest voxel, shape (...); below 0 outside. Points off the grid have that of its
        edge.
        """
        voxels, inside, surfaces = self._seen_from(points)
        depth = np.empty(inside.shape, dtype=np.float32)
        depth[inside] = surfaces.outer.query(voxels[inside])[0]
        depth[~inside] = -surfaces.inner.query(voxels[~inside])[0]
        return depth

    def reaches(self, points: np.ndarray) -> npt.NDArray[np.bool_]:
        """Whether points (see `depth`) lie not more than 4 mm outside the template's brain."""
        voxels, inside, surfaces = self._seen_from(points)
        # Half of the squares of distances between voxels: none is a question of rounding.
        bound = np.sqrt(OUTSIDE_MM**2 + 0.5)
        far, _ = surfaces.inner.query(voxels[~inside], distance_upper_bound=bound)
        reached = inside.copy()
        reached[~inside] = np.isfinite(far)
        return reached

    def _seen_from(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Surfaces]:
        """Nearest voxels of points, whether the brain holds them, and its surfaces."""
        surfaces = _surfaces(self.brain_mask)
        voxels = np.rint(apply_affine(np.linalg.inv(self.affine), points)).astype(np.int32)
        voxels = np.clip(voxels, 0, np.array(surfaces.brain.shape, dtype=np.int32) - 1)
        return voxels, surfaces.brain[tuple(np.moveaxis(voxels, -1, 0))], surfaces

    def sha256(self) -> str:
        """Return the hash of what scans are aligned with: voxels and grid, however compressed."""
        digest = hashlib.sha256()
        for path in (self.t1w, self.brain_mask):
            image = nib.load(path)
            digest.update(np.asarray(image.affine, dtype="<f8").tobytes())
            digest.update(np.ascontiguousarray(image.dataobj, dtype=np.uint8).tobytes())
        return digest.hexdigest()

    def save(self, data: np.ndarray, out_file: Path, display: Display | None = None) -> None:
        """Write an array of shape (170, 204, 170) as an image on this grid."""
        # In the order of the file, else nibabel turns every slice by itself.
        image = nib.Nifti1Image(np.asfortranarray(data), self.affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(self.affine, code=1)
        image.set_sform(self.affine, code=1)
        if display:
            display.write(image.header)
        image.to_filename(out_file)


@cache
def _surfaces(brain_mask: Path) -> _Surfaces:
    brain = np.asarray(nib.load(brain_mask).dataobj) > 0
    inner = brain & ~ndimage.binary_erosion(brain, border_value=1)
    outer = ndimage.binary_dilation(brain) & ~brain
    return _Surfaces(brain, KDTree(np.argwhere(inner)), KDTree(np.argwhere(outer)))
