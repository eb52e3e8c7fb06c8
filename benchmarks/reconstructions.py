"""Draw what each packaged model makes of one scan.

``python benchmarks/reconstructions.py OUTPUT_DIR SCAN FIGURE`` where OUTPUT_DIR is what
``uadbids ... participant`` wrote and SCAN names a scan in it, such as ``sub-20_ses-2``. All
models are given the scan as it was preprocessed then; preprocessing is the same for all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from uadbids.detection.examine import examine
from uadbids.model.bundle import load_bundle, packaged_bundles
from uadbids.preproc.template import Template
from uadbids.reports.training import Reconstructed, draw_reconstructions


def main(output_dir: Path, scan: str, figure: Path) -> None:
    """Reconstruct with every packaged model and draw them below each other."""
    (volume_file,) = output_dir.rglob(f"{scan}_space-UADBIDS_desc-preproc_FLAIR.nii.gz")
    (mask_file,) = output_dir.rglob(f"{scan}_space-UADBIDS_label-brain_mask.nii.gz")
    volume = np.asarray(nib.load(volume_file).dataobj, dtype=np.float32)
    mask = np.asarray(nib.load(mask_file).dataobj) > 0
    rows, thresholds = [], []
    for folder in packaged_bundles():
        bundle = load_bundle(folder, device="cpu")
        card = bundle.card
        found = examine(
            volume, mask, bundle.model, card.crop, card.detection, device=torch.device("cpu")
        )
        name = f"{card.name}: {scan}"
        rows.append(Reconstructed(name, volume, mask, found.reconstruction, found.anomaly_map))
        thresholds.append(bundle.calibration.threshold(card.detection.false_positive_rate))
    draw_reconstructions(rows, Template.packaged().affine, min(thresholds), figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
