"""Crop and pad between the template grid and the grid that a model sees."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

TEMPLATE_SHAPE = (170, 204, 170)
"""Shape of the template grid: RAS axes, 1 mm voxels (paper, section 3)."""

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Crop:
    """A box on a larger grid; the parts that hang over the grid's edge are padding.

    The paper crops to 160x192x75 (section 3). Four halvings need a multiple of 16, so models
    see boxes such as 160x192x80 and every cut, pad, way back and affine goes through this class.
    ValueError if an axis has no voxels or the tuples do not have three entries.
    """

    start: Triple  # first voxel on the larger grid; negative where the box hangs over
    shape: Triple  # size in voxels, at least 1 along each axis

    def __post_init__(self) -> None:
        if len(self.start) != 3 or len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"A crop needs 3 starts and 3 positive sizes: {self}.")

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Cut the box out of an array (X, Y, Z), zeros where it hangs over: a new array."""
        cut = np.zeros(self.shape, dtype=array.dtype)
        outer, inner = self._overlap(array.shape)
        cut[inner] = array[outer]
        return cut

    def restore(self, array: npt.NDArray[Any], full_shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Put a cut box back where it was, zeros outside: a new array of the larger grid.

        ValueError if the array does not have the shape of the box.
        """
        if array.shape != self.shape:
            raise ValueError(f"Expected an array of shape {self.shape}, got {array.shape}.")
        full = np.zeros(full_shape, dtype=array.dtype)
        outer, inner = self._overlap(full_shape)
        full[outer] = array[inner]
        return full

    def affine(self, affine: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Voxel-to-world matrix (4, 4) of the box, given that of the larger grid (mm)."""
        moved = np.array(affine, dtype=float)
        moved[:3, 3] += moved[:3, :3] @ np.asarray(self.start, dtype=float)
        return moved

    def mask(self, full_shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Voxels of the larger grid that lie in the box: bool, shape ``full_shape``."""
        return self.restore(np.ones(self.shape, dtype=bool), full_shape)

    def _overlap(self, full_shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        outer, inner = [], []
        for start, size, full in zip(self.start, self.shape, full_shape, strict=True):
            first = min(max(start, 0), full)
            last = max(min(start + size, full), first)
            outer.append(slice(first, last))
            # A box wholly beyond the grid has an empty overlap: keep both slices empty.
            offset = first - start if last > first else 0
            inner.append(slice(offset, offset + last - first))
        return tuple(outer), tuple(inner)
