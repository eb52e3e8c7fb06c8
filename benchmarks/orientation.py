"""How well heads fit the template as they lie, against turned or mirrored: the ratio of each scan.

    python benchmarks/orientation.py OUTPUT_DIR...

reads the aligned volumes of finished runs. Of scans whose headers are right, few should come out
below ``DOUBTFUL_ORIENTATION``. `tests/robustness` has scans whose headers are wrong.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from uadbids.preproc.template import Template
from uadbids.qc.flags import DOUBTFUL_ORIENTATION
from uadbids.qc.orientation import orientation_ratio

PATTERN = "sub-*/**/*_space-UADBIDS_desc-preproc_FLAIR.nii.gz"


def main() -> None:
    """Print the ratio of every scan."""
    found = {}
    template = Template.packaged()
    t1w = np.asarray(nib.load(template.t1w).dataobj, dtype=np.float32)
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    for root in map(Path, sys.argv[1:]):
        for path in sorted(root.glob(PATTERN)):
            volume = np.asarray(nib.load(path).dataobj, dtype=np.float32)
            found[path] = orientation_ratio(volume, t1w, brain)
            print(f"{found[path]:.3f}  {path.name.partition('_space')[0]}")
    doubtful = sum(ratio < DOUBTFUL_ORIENTATION for ratio in found.values())
    print(f"{len(found)} scans, {doubtful} below {DOUBTFUL_ORIENTATION}")


if __name__ == "__main__":
    main()
