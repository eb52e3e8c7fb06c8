"""Make the packaged image of how bright normal grey matter is on FLAIR.

Run once: ``python recipes/make_bright.py GG-853-FLAIR-2.0mm.nii.gz``, the average of 853 healthy
young adults in MNI space (see NOTICE); the result is committed. On it hippocampus, amygdala,
insula and cingulate cortex are brighter than other tissue, which a lesion detector must know.
White matter is left out: what is bright there in the average is where lesions lie, too.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from nilearn.datasets import load_mni152_gm_template
from scipy import ndimage

from uadbids.detection.hyperintensity import robust_z
from uadbids.preproc.template import Template

STEP = 0.05
"""Of the stored values, in units of robust z."""
# A scan is aligned as a whole: its gyri lie some millimetres off.
SIGMA_MM, REACH_MM, GREY = 1.0, 3, 0.4


def main(average: Path) -> None:
    """Bring the average to the template's grid, and write it as uint8 with a slope."""
    template = Template.packaged()
    grid = nib.load(template.t1w)
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    flair = resample_from_to(nib.load(average), grid, order=1).get_fdata(dtype=np.float32)
    grey = resample_from_to(load_mni152_gm_template(resolution=1), grid, order=1).get_fdata()
    near = ndimage.gaussian_filter(grey / grey.max(), SIGMA_MM)
    near = ndimage.maximum_filter(near, REACH_MM) > GREY
    bright = np.where(near, np.maximum(robust_z(flair, brain), 0), 0)
    image = nib.Nifti1Image(np.round(bright / STEP).clip(0, 255).astype(np.uint8), grid.affine)
    image.header.set_slope_inter(STEP, 0)
    image.header.set_xyzt_units("mm")
    image.set_qform(grid.affine, code=1)
    image.set_sform(grid.affine, code=1)
    image.to_filename(template.bright)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
