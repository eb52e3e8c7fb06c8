"""Images of an evaluation: masks that people drew, checked, and the way between two grids."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from uadbids.errors import ScanError
from uadbids.preproc.geometry import MASK_TOLERANCE_MM, corner_distance
from uadbids.preproc.transform import read_transform
from uadbids.preproc.volume import Volume, read_canonical

# What a scale factor in a header leaves of a whole number.
_ROUNDING = 1e-3


def read_mask(
    path: Path,
    grid: Volume,
    values: frozenset[int] = frozenset(),
    *,
    resample: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Read a lesion mask of whole numbers that lies on the grid of its scan.

    Orders of axes may differ between the two files. `values` are lesion, or all above 0 if there
    are none. Returned are the lesions (bool) and what a reader should know; ScanError if the image
    is no mask, or lies elsewhere and is not to be resampled.
    """
    image = read_canonical(path)
    numbers = _whole_numbers(image.data, path)
    notes = []
    present = [int(value) for value in np.unique(numbers) if value > 0]
    if len(present) > 1 and not values:
        listed = ", ".join(map(str, present[:10]))
        notes.append(f"its values {listed} all count as lesion (--mask-values chooses)")
    mask = np.isin(numbers, list(values)) if values else numbers > 0
    gap = corner_distance(image.affine, grid.affine, image.data.shape, grid.data.shape)
    if image.data.shape != grid.data.shape or gap > MASK_TOLERANCE_MM:
        if not resample:
            raise ScanError(
                f"{path}: the mask ({_size(image)}) does not lie on the grid of its scan "
                f"({_size(grid)}), corners are up to {gap:.1f} mm apart; if its header is right, "
                "--resample-masks brings it there"
            )
        moved = _majority(mask, np.linalg.inv(image.affine) @ grid.affine, grid.data.shape)
        if mask.any() and not moved.any():
            raise ScanError(
                f"{path}: nothing of the mask lies in the image of its scan, though their headers "
                "are taken at their word; is it the mask of this scan?"
            )
        mask = moved
        notes.append("the mask was resampled to the grid of the scan")
    if not mask.any():
        notes.append("the mask holds no lesion: Dice is 1 if nothing was found, else 0")
    return mask, notes


class Way:
    """The way between the grid of a scan and that of the template, by the transform of a run."""

    def __init__(self, xfm: Path, scan: Volume, template: Volume) -> None:
        self._scan_shape, self._template_shape = scan.data.shape, template.data.shape
        there = np.linalg.inv(scan.affine) @ read_transform(xfm) @ template.affine
        self._to_scan, self._to_template = there, np.linalg.inv(there)
        self._index: np.ndarray | None = None

    def labels(self, mask: np.ndarray) -> np.ndarray:
        """Bring a mask from the template to the scan: the nearest voxel, nothing from outside."""
        if self._index is None:
            # Where each voxel comes from is looked up once: a sweep of thresholds asks often.
            count = int(np.prod(self._template_shape))
            numbered = np.arange(count, dtype=np.int32).reshape(self._template_shape)
            self._index = _sample(numbered, self._to_template, self._scan_shape, 0, fill=count)
        found: np.ndarray = np.append(mask.ravel(), False)[self._index]
        return found

    def values(self, volume: np.ndarray) -> np.ndarray:
        """Bring a map from the template to the scan: linear, 0 from outside."""
        return _sample(volume, self._to_template, self._scan_shape, 1)

    def lesions_to_template(self, mask: np.ndarray) -> np.ndarray:
        """Bring a mask from the scan to the template: lesion where at least half is."""
        return _majority(mask, self._to_scan, self._template_shape)


def _whole_numbers(data: np.ndarray, path: Path) -> np.ndarray:
    numbers = np.round(data)
    with np.errstate(invalid="ignore"):
        apart = np.abs(data - numbers)
    if not np.isfinite(apart).all() or apart.max() > _ROUNDING or numbers.min() < 0:
        raise ScanError(
            f"{path}: a mask holds whole numbers from 0 on, this holds others (probabilities?); "
            "threshold it first"
        )
    return numbers


def _size(image: Volume) -> str:
    voxels = "x".join(map(str, image.data.shape))
    return f"{voxels} voxels of {'x'.join(f'{size:.3g}' for size in image.spacing)} mm"


def _majority(mask: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resample a mask: lesion where at least half is."""
    moved: np.ndarray = _sample(mask.astype(np.float32), matrix, shape, 1) >= 0.5
    return moved


def _sample(
    array: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], order: int, fill: float = 0
) -> np.ndarray:
    """Value of an array at ``matrix @ voxel`` for each voxel of a grid."""
    sampled: np.ndarray = ndimage.affine_transform(
        array,
        matrix[:3, :3],
        matrix[:3, 3],
        output_shape=shape,
        output=array.dtype,
        order=order,
        mode="constant",
        cval=fill,
        prefilter=False,
    )
    return sampled
