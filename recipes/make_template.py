"""Cut the packaged template out of MNI152 2009a, as nilearn ships it.

Run once: ``python recipes/make_template.py``; the result is committed.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

from uadbids.model.grid import TEMPLATE_SHAPE, Crop

# Centres the brain (x -72 to 72, y -107 to 73, z -72 to 82 mm) in the paper's field of view.
START = (13, 15, -8)


def main() -> None:
    """Write the template and its brain mask as uint8 images."""
    folder = Path(__file__).parents[1] / "uadbids" / "data" / "template"
    folder.mkdir(parents=True, exist_ok=True)
    crop = Crop(START, TEMPLATE_SHAPE)
    mask_image = load_mni152_brain_mask(resolution=1)
    brain = crop.apply(np.asarray(mask_image.dataobj) > 0)
    t1w = crop.apply(load_mni152_template(resolution=1).get_fdata())
    affine = crop.affine(mask_image.affine)
    t1w = np.where(brain, np.round(255 * t1w / t1w.max()), 0)
    for name, data in (("T1w", t1w), ("label-brain_mask", brain)):
        image = nib.Nifti1Image(data.astype(np.uint8), affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        image.to_filename(folder / f"tpl-UADBIDS_{name}.nii.gz")


if __name__ == "__main__":
    main()
