"""From a preprocessed scan of a healthy cohort to a brain to learn from."""

from pathlib import Path

import numpy as np

from uadbids.pipeline.records import HealthyOptions, Preprocessed
from uadbids.preproc.resample import mask_to_template
from uadbids.preproc.template import Template
from uadbids.preproc.volume import read_volume
from uadbids.training.healthy import make_healthy, save_healthy


def prepare_healthy(
    scan: Preprocessed,
    folder: Path,
    options: HealthyOptions,
    *,
    subject: str,
    lesions: Path | None = None,
) -> Path:
    """Fill the lesions of a scan, and keep where they were, in a file for `load_healthy`.

    Lesions are a mask, on the scan's grid, of voxels that are not healthy; where there is none,
    the options say what counts as unhealthy. The folder exists.
    """
    given = None
    if lesions is not None:
        on_template = folder / "lesions.nii.gz"
        mask_to_template(lesions, scan.conformed, scan.xfm, on_template, Template.packaged())
        given = read_volume(on_template).data > 0
    volume, mask = read_volume(scan.volume).data, read_volume(scan.mask).data > 0
    healthy = make_healthy(
        volume.astype(np.float32, copy=False),
        mask,
        given,
        subject=subject,
        brain_mask_method=scan.facts.values["BrainMaskMethod"],
        bright_z=options.bright_z,
        margin=options.margin,
        seed=options.seed,
    )
    out = folder / "healthy.npz"
    save_healthy(healthy, out)
    return out
