"""Healthy brains for training and calibration: scans whose lesions are filled and left out."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from scipy import ndimage

from uadbids.bids.files import write_bytes
from uadbids.detection.detect import cut
from uadbids.detection.examine import examine, reconstruction_error
from uadbids.detection.hyperintensity import fill, hyperintense
from uadbids.errors import UsageError
from uadbids.evaluation.reference import Reference
from uadbids.model.bundle import Bundle
from uadbids.model.calibration import Calibration, calibrate
from uadbids.model.config import DetectionConfig
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader
from uadbids.model.vae import VAE
from uadbids.training.samples import Sample


@dataclass(frozen=True)
class Healthy:
    """A scan on the template grid, (170, 204, 170), without its lesions."""

    subject: str  # label of the participant
    volume: np.ndarray  # float32 in [0, 1], lesions filled; 0 outside the brain
    mask: np.ndarray  # brain, bool
    excluded: np.ndarray  # voxels of it that are not healthy, bool
    brain_mask_method: str = ""  # where the mask came from

    def sample(self, crop: Crop) -> Sample:
        """Tensors for the training: the volume as 8 bits."""
        volume = np.round(255 * crop.apply(self.volume)).astype(np.uint8)
        return Sample(
            torch.from_numpy(volume),
            torch.from_numpy(crop.apply(self.mask)),
            torch.from_numpy(~crop.apply(self.excluded)),
        )


def make_healthy(
    volume: np.ndarray,
    mask: np.ndarray,
    lesions: np.ndarray | None,
    *,
    subject: str,
    brain_mask_method: str,
    bright_z: float | None,
    margin: int,
    seed: int,
) -> Healthy:
    """Fill the lesions of a scan (see `Healthy`) and remember where they were.

    Lesions (bool, (X, Y, Z)) are voxels that are not healthy; without a mask of them, those above
    `bright_z`, a robust z, if that is given. So many voxels around a lesion as `margin` says count
    to it. The seed is that of the noise in filled lesions.
    """
    if lesions is None:
        none = np.zeros(mask.shape, dtype=bool)
        lesions = none if bright_z is None else hyperintense(volume, mask, z=bright_z)
    excluded = ndimage.binary_dilation(lesions, iterations=margin) & mask
    filled = fill(volume, mask, excluded, np.random.default_rng(seed))
    return Healthy(subject, filled, mask, excluded, brain_mask_method)


def save_healthy(healthy: Healthy, path: Path) -> None:
    """Write a scan to a NumPy archive, whole or not at all; its folder is made.

    Values of the brain and two bit masks: 8 MB instead of 35, and not one value is rounded.
    """
    archive = io.BytesIO()
    np.savez(
        archive,
        subject=np.array(healthy.subject),
        brain_mask_method=np.array(healthy.brain_mask_method),
        shape=np.array(healthy.mask.shape),
        values=healthy.volume[healthy.mask],
        mask=np.packbits(healthy.mask),
        excluded=np.packbits(healthy.excluded),
    )
    write_bytes(path, archive.getvalue())


def load_healthy(path: Path) -> Healthy:
    """Read what `save_healthy` wrote; UsageError when the file is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            shape = tuple(archive["shape"].tolist())
            mask, excluded = (_unpacked(archive[name], shape) for name in ("mask", "excluded"))
            volume = np.zeros(shape, dtype=np.float32)
            volume[mask] = archive["values"]
            subject, method = str(archive["subject"]), str(archive["brain_mask_method"])
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise UsageError(
            f"{path} is damaged ({error}); remove it, and the scan is preprocessed again"
        ) from error
    return Healthy(subject, volume, mask, excluded, method)


def _unpacked(bits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(bits, count=int(np.prod(shape))).astype(bool).reshape(shape)


def calibrate_on(
    scans: Iterable[tuple[Healthy, VAE]],
    crop: Crop,
    detection: DetectionConfig,
    device: torch.device,
    *,
    maps: Reference | None = None,
    reader: Reader | None = None,
) -> Calibration:
    """Pool the residuals of held-out scans where they are healthy (docs/method.md, 8).

    Each scan comes with a model, in evaluation mode and on ``device``, that was not trained on its
    participant. They are taken one by one: of each only the residuals stay in memory. ``maps``
    takes in the anomaly maps, on the template grid: where healthy brains look abnormal. The rest is
    as detection will use it. The calibration counts participants, not scans.
    """
    residuals, subjects = [], set()
    for item, model in scans:
        found = examine(
            item.volume, item.mask, model, crop, detection, device=device, reader=reader
        )
        healthy = found.examined & ~item.excluded
        residuals.append(found.anomaly_map[healthy])
        if maps is not None:
            maps.add(found.anomaly_map, healthy)
        subjects.add(item.subject)
    return replace(calibrate(residuals), n_subjects=len(subjects))


class CohortMeasures(NamedTuple):
    """What detection measures in scans of a cohort, ascending."""

    errors: list[float]  # of the reconstruction, in scaled intensities
    finding_ml: list[float]  # volume marked outside filled lesions and their margin


def measure_on(
    scans: Iterable[tuple[Healthy, VAE]], bundle: Bundle, device: torch.device
) -> CohortMeasures:
    """Measure a cohort as detection measures a new scan.

    Each scan comes with the model, on ``device``, that is to rebuild it. A new scan that is
    rebuilt worse than all of them is unlike the cohort; one in which no more is found than in them
    is no different from it.
    """
    crop, settings, reader = bundle.card.crop, bundle.card.detection, bundle.reader
    threshold = bundle.calibration.threshold(settings.false_positive_rate)
    errors, volumes = [], []
    for item, model in scans:
        found = examine(item.volume, item.mask, model, crop, settings, device=device, reader=reader)
        lesions = cut(found, threshold, settings.residual, settings.min_volume_mm3) > 0
        left_out = item.excluded | lesions
        errors.append(
            reconstruction_error(item.volume, found.reconstruction, item.mask, left_out, crop)
        )
        volumes.append(float(np.count_nonzero(lesions & ~item.excluded)) / 1000)
    return CohortMeasures(sorted(round(error, 5) for error in errors), sorted(volumes))
