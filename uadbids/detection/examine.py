"""What a model says of a volume, before any threshold."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from uadbids.detection.erosion import examined_part
from uadbids.detection.postprocess import Bools, Floats, bounding_box
from uadbids.detection.residuals import RESIDUALS, mean_absolute_error
from uadbids.detection.residuals import residual as take_residual
from uadbids.errors import ScanError, UsageError
from uadbids.model.config import DetectionConfig, ResidualKind
from uadbids.model.folded import FoldedReader
from uadbids.model.grid import TEMPLATE_SHAPE, Crop
from uadbids.model.inference import reconstruct
from uadbids.model.reader import Reader
from uadbids.model.reader_inputs import LOWEST, UNIT, reader_inputs
from uadbids.model.vae import VAE
from uadbids.preproc.template import Template

NORMAL_SHARE = 0.5
"""Of the brightness of normal grey matter that is expected of every scan (docs/method.md, 13)."""
# Voxels around a brain that the reader sees, for its convolutions.
_MARGIN = 4


class Examination(NamedTuple):
    """What a model says of a volume before any threshold, on the volume's grid (X, Y, Z)."""

    reconstruction: Floats  # in [0, 1]; 0 outside the crop and the brain
    anomaly_map: Floats  # residual; 0 outside the crop and the brain
    examined: Bools  # eroded brain inside the crop: where findings are looked for


class ReaderScan(NamedTuple):
    """A scan on the template grid as the reader takes it; arrays of shape (X, Y, Z)."""

    volume: Floats  # intensities in [0, 1]
    reconstruction: Floats  # of the same; counts inside the crop
    brain: Bools
    crop: Crop  # what is reconstructed
    normal: Floats  # robust z of normal grey matter at its place (`Template.normal_brightness`)


def examine(
    volume: npt.NDArray[np.floating],
    mask: npt.NDArray[np.generic],
    model: VAE,
    crop: Crop,
    settings: DetectionConfig,
    *,
    device: torch.device,
    kind: ResidualKind | None = None,
    reader: Reader | None = None,
) -> Examination:
    """Reconstruct and take the residual; calibration and detection share this path.

    The volume is a preprocessed FLAIR in [0, 1] on a 1 mm grid, (X, Y, Z), as is the brain mask.
    Model and reader are in evaluation mode, on the device; `crop` is what the model sees of the
    grid. The settings' kind of residual is taken unless another is given.

    UsageError if the kind needs a reader and there is none; ScanError if volume and mask differ in
    shape, values are not finite, or no brain is in the crop.
    """
    brain = mask != 0
    _check(volume, brain, crop)
    shape = volume.shape
    whole = np.where(brain, volume, 0.0).astype(np.float32)
    seen = crop.apply(whole)
    inside = crop.apply(brain)
    rebuilt = reconstruct(model, seen, device) * inside
    kind = kind or settings.residual
    if RESIDUALS[kind].needs_reader:
        return _read(whole, crop.restore(rebuilt, shape), brain, crop, settings, device, reader)
    examined = examined_part(brain, settings.erosion_mm, crop)
    difference = take_residual(
        seen,
        rebuilt,
        inside,
        kind,
        settings.smoothing_mm,
        examined=crop.apply(examined),
        normal=crop.apply(_normal(shape)) if RESIDUALS[kind].needs_place else None,
    )
    return Examination(crop.restore(rebuilt, shape), crop.restore(difference, shape), examined)


def _read(
    volume: Floats,
    rebuilt: Floats,
    brain: Bools,
    crop: Crop,
    settings: DetectionConfig,
    device: torch.device,
    reader: Reader | None,
) -> Examination:
    """Have the reader look at the whole brain."""
    if reader is None:
        raise UsageError(
            "This model has no reader; give another residual with its threshold, or a model that "
            "has one."
        )
    # The reader learnt from all of what is normal, the map expects half of it.
    normal = _normal(brain.shape) / NORMAL_SHARE
    scan, head = around_brain(ReaderScan(volume, rebuilt, brain, crop, normal))
    examined = examined_part(brain, settings.erosion_mm, None)
    anomaly_map = take_residual(
        scan.volume,
        scan.reconstruction,
        scan.brain,
        "reader",
        settings.smoothing_mm,
        examined=head.apply(examined),
        normal=NORMAL_SHARE * scan.normal,
        probability=lesion_probability(reader, scan, device),
    )
    return Examination(rebuilt, head.restore(anomaly_map, brain.shape), examined)


def around_brain(scan: ReaderScan) -> tuple[ReaderScan, Crop]:
    """Cut a scan to its brain, with a margin for the reader's convolutions; and where it was cut.

    Half of the template grid is no brain, and costs as much. ValueError without a brain.
    """
    box = bounding_box(scan.brain, margin=_MARGIN)
    x, y, z = (part.start for part in box)
    head = Crop((x, y, z), scan.brain[box].shape)
    i, j, k = scan.crop.start
    return ReaderScan(
        head.apply(scan.volume),
        head.apply(scan.reconstruction),
        head.apply(scan.brain),
        Crop((i - x, j - y, k - z), scan.crop.shape),
        head.apply(scan.normal),
    ), head


@torch.inference_mode()
def lesion_probability(reader: Reader, scan: ReaderScan, device: torch.device) -> Floats:
    """Probability of lesion in each voxel of the brain, in [0, 1]; 0 outside, shape (X, Y, Z).

    The same for the same input. The reader is in evaluation mode, on the device; the scan has a
    1 mm grid. All of the grid is looked at: `around_brain` leaves out what is none.
    """
    ends = zip(scan.crop.start, scan.crop.shape, strict=True)
    x, y, z = (slice(max(start, 0), max(start + size, 0)) for start, size in ends)
    volume, reconstruction, brain, normal = (
        torch.from_numpy(np.ascontiguousarray(array))
        for array in (scan.volume, scan.reconstruction[x, y, z], scan.brain, scan.normal)
    )
    inputs = reader_inputs(volume, brain, reconstruction, (x, y, z), normal)
    factor = 2 ** (len(reader.config.widths) - 1)
    i, j, k = scan.brain.shape
    padded = torch.zeros(len(inputs), *(-(-n // factor) * factor for n in (i, j, k)))
    padded[0] = LOWEST / UNIT
    padded[:, :i, :j, :k] = inputs
    found = torch.sigmoid(FoldedReader(reader)(padded[None].to(device)).float())[0].cpu().numpy()
    probability: Floats = found[:i, :j, :k] * scan.brain
    return probability


def reconstruction_error(
    volume: npt.NDArray[np.floating],
    reconstruction: npt.NDArray[np.floating],
    mask: npt.NDArray[np.generic],
    left_out: npt.NDArray[np.generic],
    crop: Crop,
) -> float:
    """Measure how well a model rebuilds what it does not call abnormal.

    The mean absolute error in units of the scaled intensity, in the part of the brain that the
    model sees; NaN where nothing is left. Findings and known lesions, where `left_out` is not zero,
    do not count. Arrays have the shape (X, Y, Z).
    """
    within = crop.mask(volume.shape) & (mask != 0) & (left_out == 0)
    return mean_absolute_error(volume, reconstruction, within)


@lru_cache(maxsize=1)
def _normal(shape: tuple[int, ...]) -> Floats:
    """Robust z that is expected at each place: known on the template grid alone."""
    if shape != TEMPLATE_SHAPE:
        return np.zeros(shape, dtype=np.float32)
    return (NORMAL_SHARE * Template.packaged().normal_brightness()).astype(np.float32)


def _check(volume: npt.NDArray[np.floating], brain: Bools, crop: Crop) -> None:
    if volume.ndim != 3 or volume.shape != brain.shape:
        raise ScanError(
            f"The volume {volume.shape} and its brain mask {brain.shape} are not on one 3D grid; "
            "make the mask again from this scan."
        )
    if not np.isfinite(volume[brain]).all():
        raise ScanError("The volume has values that are not numbers; repair the scan.")
    if not crop.apply(brain).any():
        raise ScanError(
            "No brain voxel lies in the part of the template that the model sees; look at the "
            "brain mask and at the registration."
        )
