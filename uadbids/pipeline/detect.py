"""Detection from files to files, for one node of a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from uadbids.detection.detect import SPACING, Detection, detect, reconstruction_error
from uadbids.detection.postprocess import erode, label_components
from uadbids.model.bundle import Bundle, load_bundle
from uadbids.preproc.template import Template

RIM_MM = 4.0
"""Two of them are eroded before anything is looked for."""


def detect_file(
    volume_file: Path,
    mask_file: Path,
    bundle_dir: Path,
    folder: Path,
    *,
    device: str,
    threads: int,
    **settings: Any,
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Detect in a preprocessed volume and write the results on the template grid.

    Parameters
    ----------
    volume_file, mask_file : Path
        Volume in [0, 1] and brain mask, (170, 204, 170) voxels.
    bundle_dir : Path
        The model.
    folder : Path
        Where to write.
    device : str
        ``cpu`` or ``cuda[:N]``.
    threads : int
        CPU threads.
    **settings
        Threshold and the like: see `detect`.

    Returns
    -------
    dict of str to Path
        ``recon``, ``anomaly``, ``lesions``, ``components`` and, where calibrated, ``score``.
    dict
        Facts: threshold and where it came from, kind of residual, share of the brain examined.
    """
    torch.set_num_threads(threads)
    volume = np.asarray(nib.load(volume_file).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(mask_file).dataobj)
    bundle = load_bundle(bundle_dir, device=device)
    found = detect(volume, mask, bundle, device=device, **settings)
    images = {
        "recon": found.reconstruction,
        "anomaly": found.anomaly_map,
        "score": found.score,
        "lesions": found.lesions,
        "components": label_components(found.lesions),
    }
    template = Template.packaged()
    files = {}
    for kind, data in images.items():
        if data is not None:
            files[kind] = folder / f"{kind}.nii.gz"
            template.save(data, files[kind])
    facts = {
        "Threshold": round(found.threshold, 6),
        "ThresholdSource": found.threshold_source,
        "ResidualKind": found.residual,
        "MinVolumeMm3": found.min_volume_mm3,
        "Device": device,
        "ExaminedBrainFraction": round(float(found.examined.sum() / (mask > 0).sum()), 4),
        **_trust(volume, mask, found, bundle),
    }
    return files, facts


def _trust(
    volume: np.ndarray, mask: np.ndarray, found: Detection, bundle: Bundle
) -> dict[str, float | None]:
    """Measure how usual the scan is for the model, and how near to the rim the lesions lie."""
    card = bundle.card
    error = reconstruction_error(volume, found.reconstruction, mask, found.lesions, card.crop)
    cohort = [e for part in card.training.get("reconstruction_errors", {}).values() for e in part]
    number = int(np.count_nonzero(found.lesions))
    deep = erode(mask > 0, RIM_MM, SPACING)
    rim = np.count_nonzero(found.lesions.astype(bool) & ~deep) / number if number else 0.0
    percentile = 100 * float(np.mean(np.asarray(cohort) < error)) if cohort else None
    return {
        "LesionRimFraction": round(rim, 4),
        "ReconstructionError": round(error, 5),
        "ReconstructionErrorPercentile": None if percentile is None else round(percentile, 1),
    }
