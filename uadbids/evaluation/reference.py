"""Voxel-wise normal brain: running mean and standard deviation of healthy volumes."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# To divide by: a few brains that happen to agree must not make noise look abnormal.
_LEAST_SD = 0.02


class Reference:
    """Running mean and standard deviation of healthy volumes on one grid, voxel by voxel.

    Welford's update: one volume in memory at a time, and no cancellation. Volumes and brain masks
    are of the shape of the grid, (X, Y, Z).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._count = np.zeros(shape, dtype=np.int32)
        self._mean = np.zeros(shape, dtype=np.float64)
        self._squares = np.zeros(shape, dtype=np.float64)

    def add(self, volume: npt.NDArray[np.floating], mask: Bools) -> None:
        """Take in a healthy volume where its brain is, without what is to be left out."""
        values = volume[mask].astype(np.float64)
        self._count[mask] += 1
        step = values - self._mean[mask]
        self._mean[mask] += step / self._count[mask]
        self._squares[mask] += step * (values - self._mean[mask])

    def remove(self, volume: npt.NDArray[np.floating], mask: Bools) -> None:
        """Take out a volume that was added: to judge it by the others alone."""
        values = volume[mask].astype(np.float64)
        self._count[mask] -= 1
        step = values - self._mean[mask]
        left = np.maximum(self._count[mask], 1)
        # The last one leaves nothing behind; what rounding left of it goes too.
        self._mean[mask] = np.where(self._count[mask] > 0, self._mean[mask] - step / left, 0.0)
        squares = self._squares[mask] - step * (values - self._mean[mask])
        self._squares[mask] = np.where(self._count[mask] > 1, np.maximum(squares, 0.0), 0.0)

    @property
    def known(self) -> Bools:
        """Voxels with at least two healthy brains: where there is a deviation."""
        return self._count >= 2

    @property
    def mean(self) -> Floats:
        """Mean of the healthy volumes; 0 where there is none."""
        return self._mean.astype(np.float32)

    @property
    def spread(self) -> Floats:
        """Standard deviation (n - 1); 0 where it is not known."""
        variance = np.zeros_like(self._squares)
        np.divide(self._squares, self._count - 1, out=variance, where=self.known)
        return np.sqrt(variance).astype(np.float32)


def voxelwise_z(volume: npt.NDArray[np.floating], mask: Bools, reference: Reference) -> Floats:
    """Distance from the healthy mean in healthy standard deviations (Saase et al. 2020).

    The volume (X, Y, Z) was preprocessed as the reference was. The result, float32, is positive
    where brighter than normal, and 0 outside the mask of the brain and where no reference is known.
    """
    z = np.zeros(volume.shape, dtype=np.float32)
    inside = mask & reference.known
    z[inside] = (volume - reference.mean)[inside] / np.maximum(reference.spread, _LEAST_SD)[inside]
    return z
