"""Make a scan again, as another day would: turned, shifted, with noise; or with painted lesions."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from uadbids.pipeline.records import Preprocessed
from uadbids.preproc.atlas import Atlas
from uadbids.preproc.template import Template
from uadbids.preproc.transform import read_transform

TURN_DEGREES, SHIFT_MM = 5.0, 5.0
NOISE = 0.02
"""Standard deviation of the added noise, over the median of the brightest tenth of the head."""
CONTRAST = 0.45
"""Brightness of a painted lesion over the white matter around it."""
_EDGE_MM = 0.5
_PARTS = 3  # of a voxel along each axis, for the share of a lesion in it


class Ball(NamedTuple):
    """A lesion to paint: centre in scanner millimetres, and volume."""

    centre: np.ndarray
    volume_ml: float

    def grown(self, factor: float) -> Ball:
        """Return it at another volume."""
        return Ball(self.centre, self.volume_ml * factor)


def moved(source: Path, out: Path, seed: int) -> Path:
    """Write a copy that is turned by 5 degrees about some axis, shifted by up to 5 mm, and noisy.

    Cubic interpolation on the same grid; what comes from outside is air.
    """
    random = np.random.default_rng(seed)
    image = nib.load(source)
    data = np.asarray(image.dataobj, dtype=np.float32)
    axis = random.normal(size=3)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(
        np.radians(TURN_DEGREES) * axis / np.linalg.norm(axis)
    ).as_matrix()
    middle = apply_affine(image.affine, (np.array(data.shape) - 1) / 2)
    shift = random.uniform(-SHIFT_MM, SHIFT_MM, 3) / np.sqrt(3)
    turn[:3, 3] = middle - turn[:3, :3] @ middle + shift
    back = np.linalg.inv(image.affine) @ turn @ image.affine
    copy = ndimage.affine_transform(data, back[:3, :3], back[:3, 3], order=3, mode="constant")
    level = np.median(data[data > np.quantile(data, 0.9)])
    copy += random.normal(0, NOISE * level, copy.shape).astype(np.float32)
    return _write(np.maximum(copy, 0), image, out)


def painted(source: Path, out: Path, lesions: list[Ball]) -> Path:
    """Write a scan with bright balls, brighter by `CONTRAST` than the tissue around them."""
    image = nib.load(source)
    data = np.asarray(image.dataobj, dtype=np.float32)
    for lesion in lesions:
        share = _share(lesion, image.affine, data.shape)
        around = ndimage.binary_dilation(share > 0.01, iterations=2) & (share <= 0.01)
        level = (1 + CONTRAST) * float(np.median(data[around]))
        data = data * (1 - share) + share * np.maximum(level, data)
    return _write(data, image, out)


def places(scan: Preprocessed, count: int, seed: int) -> list[np.ndarray]:
    """Draw points of deep white matter that looks normal, far from each other (mm, scanner)."""
    random = np.random.default_rng(seed)
    template = Template.packaged()
    white = ndimage.binary_erosion(Atlas.packaged().on_template().white, iterations=4)
    points = apply_affine(template.affine, random.permutation(np.argwhere(white)))
    there = apply_affine(read_transform(scan.affine), points)
    volume, mask = (nib.load(path) for path in (scan.volume, scan.mask))
    values = np.where(np.asarray(mask.dataobj) > 0, np.asarray(volume.dataobj), 0)
    level = np.median(values[values > 0])
    highest = ndimage.maximum_filter(values, size=15)
    lowest = ndimage.minimum_filter(values, size=15)
    to_grid = np.linalg.inv(template.affine) @ np.linalg.inv(read_transform(scan.xfm))
    chosen: list[np.ndarray] = []
    for point in there:
        voxel = tuple(np.rint(apply_affine(to_grid, point)).astype(int))
        inside = all(0 <= v < n for v, n in zip(voxel, values.shape, strict=True))
        if not inside or highest[voxel] > 1.35 * level or lowest[voxel] < 0.6 * level:
            continue
        if all(np.linalg.norm(point - other) > 25 for other in chosen):
            chosen.append(point)
        if len(chosen) == count:
            break
    return chosen


def _share(lesion: Ball, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Share of each voxel that lies in a ball with a soft edge."""
    radius = (3 * 1000 * lesion.volume_ml / (4 * np.pi)) ** (1 / 3)
    share = np.zeros(shape, dtype=np.float32)
    steps = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    middle = apply_affine(np.linalg.inv(affine), lesion.centre)
    reach = (radius + 4) / np.linalg.norm(affine[:3, :3], axis=0)
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    for offset in np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3):
        distance = np.linalg.norm(apply_affine(affine, grid + offset) - lesion.centre, axis=-1)
        share[box] += 1 / (1 + np.exp((distance - radius) / (_EDGE_MM / 2)))
    return share / len(steps) ** 3


def _write(data: np.ndarray, like: nib.Nifti1Image, out: Path) -> Path:
    header = like.header.copy()
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1, 0)
    nib.Nifti1Image(data.astype(np.float32), like.affine, header).to_filename(out)
    return out
