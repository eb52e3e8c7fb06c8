"""From a volume on the template grid to an anomaly map and findings on it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from uadbids.detection.detect import SPACING, Detection
from uadbids.detection.detect import detect as detect_in_volume
from uadbids.detection.examine import reconstruction_error
from uadbids.detection.postprocess import erode, label_components
from uadbids.model.bundle import Bundle, load_bundle
from uadbids.pipeline.preprocess import gpu_turn
from uadbids.pipeline.records import Detected, DetectOptions, Preprocessed
from uadbids.preproc.template import Template
from uadbids.qc.facts import Facts, timed

BOUNDARY_MM = 4.0
"""Two of them are eroded before anything is looked for."""


def detect(scan: Preprocessed, folder: Path, options: DetectOptions) -> Detected:
    """Find what a healthy brain would not show, on the template grid; images go to `folder`.

    ScanError if the volume holds nothing that can be examined.
    """
    template, device = Template.packaged(), options.compute.device
    torch.set_num_threads(options.compute.threads)
    volume = np.asarray(nib.load(scan.volume).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(scan.mask).dataobj)
    with timed("detect") as seconds, gpu_turn(options.compute):
        bundle = load_bundle(options.bundle, device=device)
        found = detect_in_volume(volume, mask, bundle, device=device, **options.settings)
    images = {
        "recon": found.reconstruction,
        "anomaly": found.anomaly_map,
        "score": found.score,
        "lesions": found.lesions,
        "components": label_components(found.lesions),
    }
    files = {}
    for kind, data in images.items():
        if data is not None:
            files[kind] = folder / f"{kind}.nii.gz"
            template.save(data, files[kind])
    values = {
        "Threshold": round(found.threshold, 6),
        "ThresholdSource": found.threshold_source,
        "ResidualKind": found.residual,
        "MinVolumeMm3": found.min_volume_mm3,
        "Device": device,
        "ExaminedBrainFraction": round(float(found.examined.sum() / (mask > 0).sum()), 4),
        **_trust(volume, mask, found, bundle),
    }
    return Detected(files, Facts(values, seconds=seconds))


def _trust(
    volume: np.ndarray, mask: np.ndarray, found: Detection, bundle: Bundle
) -> dict[str, float | None]:
    """Measure how usual the scan is for the model, and the share of findings at the boundary."""
    card = bundle.card
    error = reconstruction_error(volume, found.reconstruction, mask, found.lesions, card.crop)
    cohort = [e for part in card.training.get("reconstruction_errors", {}).values() for e in part]
    number = int(np.count_nonzero(found.lesions))
    deep = erode(mask > 0, BOUNDARY_MM, SPACING)
    near = np.count_nonzero(found.lesions.astype(bool) & ~deep) / number if number else 0.0
    percentile = 100 * float(np.mean(np.asarray(cohort) < error)) if cohort else None
    return {
        "FindingBoundaryFraction": round(near, 4),
        "ReconstructionError": round(error, 5),
        "ReconstructionErrorPercentile": None if percentile is None else round(percentile, 1),
    }
