"""Bright voxels of a scan: find them conservatively, and fill them from normal tissue."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from uadbids.detection.erosion import erode
from uadbids.detection.postprocess import Bools, Floats, bounding_box, keep_large

# Brain voxels darker than this part of the brain's median are fluid or partial volume.
_TISSUE = 0.7
# Standard deviation of a normal distribution over its median absolute deviation.
_MAD_TO_SD = 1.4826
_ISOTROPIC = (1.0, 1.0, 1.0)
# Depth of the zone along a brain mask in which nothing is looked for, and voxels of a component: of
# fewer it is noise.
_BOUNDARY_MM, _LEAST = 4.0, 10


def robust_z(
    volume: npt.NDArray[np.floating], mask: Bools, level: tuple[float, float] | None = None
) -> Floats:
    """Intensity as a robust z-score of the scan's own tissue (docs/method.md, 10).

    ``(x - median) / (1.4826 * MAD)``, both of tissue: brain voxels above 0.7 of the brain's
    median. Of the shape of volume and mask, (X, Y, Z); 0 outside the mask, and everywhere if the
    tissue has no spread. The level is that of `tissue_level`, for whoever has it already.
    """
    z = np.zeros(volume.shape, dtype=np.float32)
    median, spread = level or tissue_level(volume, mask)
    if spread > 0:
        z[mask] = (volume[mask] - median) / spread
    return z


def tissue_level(volume: npt.NDArray[np.floating], mask: Bools) -> tuple[float, float]:
    """Median and spread (1.4826 * MAD) of a scan's tissue, as in `robust_z`; zeros without any."""
    tissue = volume[_tissue(volume, mask)]
    if not tissue.size:
        return 0.0, 0.0
    median = float(np.median(tissue))
    return median, float(_MAD_TO_SD * np.median(np.abs(tissue - median)))


def hyperintense(volume: npt.NDArray[np.floating], mask: Bools, z: float) -> Bools:
    """Voxels that are too bright to be learnt as healthy (docs/method.md, 12), on a 1 mm grid.

    Components above ``z`` off the boundary of the brain mask, where bright voxels are
    mostly cortex or skull; grown by up to three voxels into what is above ``z / 2``, then by
    one, to take their blurred edge along. The result lies in the mask, whose shape,
    (X, Y, Z), it has.
    """
    scores = robust_z(volume, mask)
    kept = keep_large((scores > z) & erode(mask, _BOUNDARY_MM, _ISOTROPIC), _LEAST)
    around = np.ones((3, 3, 3), dtype=bool)
    if not kept.any():
        return kept
    edge = ndimage.binary_dilation(kept, around, iterations=3, mask=kept | (scores > z / 2))
    grown: Bools = ndimage.binary_dilation(edge, around) & mask
    return grown


def fill(
    volume: npt.NDArray[np.floating],
    mask: Bools,
    lesions: Bools,
    generator: np.random.Generator,
) -> Floats:
    """Replace lesion voxels by what the normal tissue around them looks like.

    A normalised convolution of tissue near the scan's median (white matter in the main, where
    most such lesions lie), with a widening kernel for large lesions, plus noise as that tissue
    has, from the generator. In the copy that is returned, only lesion voxels inside the mask
    differ; all arrays have the shape (X, Y, Z).
    """
    filled = np.array(volume, dtype=np.float32)
    holes = lesions & mask
    z = robust_z(volume, mask & ~holes)
    normal = _tissue(volume, mask & ~holes) & (np.abs(z) < 1.0)
    if not holes.any() or not normal.any():
        return filled
    box = bounding_box(holes, margin=32)
    local, sound, hole = filled[box], normal[box], holes[box]
    mean = _surroundings(local, sound, fallback=float(np.median(volume[normal])))
    noise = _noise_level(local, mean, sound) * generator.standard_normal(local.shape)
    local[hole] = np.maximum(mean + noise, 0.0)[hole]
    return filled


def _tissue(volume: npt.NDArray[np.floating], mask: Bools) -> Bools:
    if not mask.any():
        return np.zeros(mask.shape, dtype=bool)
    tissue: Bools = mask & (volume > _TISSUE * np.median(volume[mask]))
    return tissue


def _surroundings(volume: Floats, sound: Bools, fallback: float) -> Floats:
    """Local mean of the sound voxels, from as near as there are enough of them."""
    mean = np.full(volume.shape, fallback, dtype=np.float32)
    for sigma in (12.0, 6.0, 3.0):
        share = ndimage.gaussian_filter(sound.astype(np.float32), sigma)
        values = ndimage.gaussian_filter(volume * sound, sigma)
        # Under 5 % sound voxels in reach, a wider kernel is better.
        enough = share > 0.05
        mean[enough] = values[enough] / share[enough]
    return mean


def _noise_level(volume: Floats, mean: Floats, sound: Bools) -> float:
    if not sound.any():
        return 0.0
    return float(_MAD_TO_SD * np.median(np.abs(volume[sound] - mean[sound])))
