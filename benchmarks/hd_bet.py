"""What HD-BET costs: its wrapper with random weights for a network of nnU-Net's usual size.

The real weights cannot be shipped, and masks of random ones mean nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stages import Stages

from uadbids.errors import ScanError
from uadbids.preproc.brain_mask import extract_brain

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from random_hd_bet import write_weights


def hd_bet(stages: Stages, weights: Path) -> None:
    """Look for a brain, which need not be found."""
    if not weights.exists():
        write_weights(
            weights,
            features=(32, 64, 128, 256, 320, 320),
            convolutions=2,
            patch=128,
            spacing_mm=1.0,
            shape=(160, 190, 160),
        )
    try:
        out = stages.folder / "hd_bet_mask.nii.gz"
        extract_brain(stages.files["conformed"], out, method="hd-bet", weights=weights)
    except ScanError:
        pass
