"""From a volume on the template grid to an anomaly map and findings on it."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.affines import apply_affine

from uadbids.detection.detect import Detection
from uadbids.detection.detect import detect as detect_in_volume
from uadbids.detection.erosion import near_outside
from uadbids.detection.examine import reconstruction_error
from uadbids.detection.postprocess import label_components
from uadbids.detection.tags import BOUNDARY_MM
from uadbids.model.bundle import Bundle, Card, load_bundle
from uadbids.pipeline.findings import to_average_brain
from uadbids.pipeline.preprocess import gpu_turn
from uadbids.pipeline.records import Detected, DetectOptions, Preprocessed
from uadbids.preproc.display import display_of
from uadbids.preproc.template import Template
from uadbids.qc.facts import Facts, timed


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
        inside = inside_template(scan, mask > 0)
        found = detect_in_volume(
            volume, mask, bundle, device=device, within=inside, **options.settings
        )
    images = {
        "recon": found.reconstruction,
        "anomaly": found.anomaly_map,
        "score": found.score,
        "lesions": found.lesions,
        "components": label_components(found.lesions),
    }
    threshold = {"Threshold": round(found.threshold, 6), "ResidualKind": found.residual}
    files = {}
    for kind, data in images.items():
        if data is not None:
            files[kind] = folder / f"{kind}.nii.gz"
            template.save(data, files[kind], display_of(kind, threshold))
    values = {
        **threshold,
        "ThresholdSource": found.threshold_source,
        "MinVolumeMm3": found.min_volume_mm3,
        "Device": device,
        "ExaminedBrainFraction": round(float(found.examined.sum() / (mask > 0).sum()), 4),
        "BrainOutsideTemplateMl": round(np.count_nonzero((mask > 0) & ~inside) / 1000, 2),
        **_trust(volume, mask, found, bundle),
        **_expected(bundle.card, options),
    }
    return Detected(files, Facts(values, seconds=seconds))


def inside_template(scan: Preprocessed, brain: np.ndarray) -> np.ndarray:
    """Voxels of a brain mask not more than 4 mm outside the template's brain.

    The template's brain is brought to the scan's size and shape by the affine transform.
    """
    inside = brain.copy()
    points = apply_affine(to_average_brain(scan), np.argwhere(brain))
    inside[brain] = Template.packaged().reaches(points)
    return inside


def _expected(card: Card, options: DetectOptions) -> dict[str, Any]:
    """Report what the model marks in held-out healthy scans with its own settings."""
    volumes = card.training.get("healthy_finding_ml", ())
    if not volumes or options.settings:
        return {}
    return {
        "ExpectedFindingMl": round(float(np.median(volumes)), 3),
        "ExpectedRangeMl": [min(volumes), max(volumes)],
        "ExpectedScans": len(volumes),
    }


def _trust(
    volume: np.ndarray, mask: np.ndarray, found: Detection, bundle: Bundle
) -> dict[str, float | None]:
    """Measure how usual the scan is for the model, and the share of findings at the boundary."""
    card = bundle.card
    error = reconstruction_error(volume, found.reconstruction, mask, found.lesions, card.crop)
    cohort = [e for part in card.training.get("reconstruction_errors", {}).values() for e in part]
    near = near_outside(mask > 0, np.argwhere(found.lesions), BOUNDARY_MM)
    percentile = 100 * float(np.mean(np.asarray(cohort) < error)) if cohort else None
    return {
        "FindingBoundaryFraction": round(float(near.mean()), 4) if near.size else 0.0,
        "ReconstructionError": round(error, 5),
        "ReconstructionErrorPercentile": None if percentile is None else round(percentile, 1),
    }
