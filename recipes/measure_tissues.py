"""Measure how bright tissues are on real FLAIR; the table in `synthesis.tissues` follows it.

``python recipes/measure_tissues.py LABEL_MAPS SCAN [SCAN ...]``

Each scan gets a brain mask (deepbet) and N4; one of the label maps, crudely painted, is warped to
it (SyN, Mattes) and takes its labels along. Printed are the medians inside each tissue relative to
white matter, less one voxel of rim, and the mean and standard deviation of those over all scans.
Brains of different people never match to the voxel: sulci and ventricles come out too bright by
what they share with tissue, cortex too dark.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import ants
import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.brain_mask import extract_brain
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import conform
from uadbids.synthesis.label_maps import find_label_maps, read_labels
from uadbids.synthesis.tissues import BRAIN, NAMES, column, is_one_of, tissue_of

SPACING = (2.5, 2.5, 2.5)
FEWEST = 40
"""Tissues with fewer voxels are left out."""


def main(maps: Path, scans: list[Path]) -> None:
    """Print one line a tissue."""
    found = find_label_maps(maps)
    medians = [measure(scan, found[3 * i % len(found)]) for i, scan in enumerate(scans)]
    print("tissue\tmean\tsd\t" + "\t".join(scan.name.split("_FLAIR")[0] for scan in scans))
    for place, name in enumerate(NAMES[1:], start=1):
        values = np.array([row[place] for row in medians])
        told = "\t".join(f"{value:.2f}" for value in values)
        some = values[np.isfinite(values)]
        if len(some):
            print(f"{name}\t{some.mean():.2f}\t{some.std():.2f}\t{told}", flush=True)


def measure(scan: Path, label_map: Path) -> np.ndarray:
    """Return the median of each tissue of `NAMES` relative to white matter, or NaN."""
    with TemporaryDirectory() as folder:
        raw, mask, flat, tissue, painted = (Path(folder, f"{n}.nii.gz") for n in range(5))
        conform(scan, raw)
        extract_brain(raw, mask, method="deepbet")
        correct_bias(raw, mask, flat, PreprocConfig())
        paint(label_map, tissue, painted)
        image = ants.image_read(str(flat))
        brain = image * ants.image_read(str(mask))
        moved = ants.registration(
            ants.resample_image(brain, SPACING, interp_type=0),
            ants.resample_image(ants.image_read(str(painted)), SPACING, interp_type=0),
            "SyN",
            reg_iterations=(40, 30, 5),
            random_seed=1,
            # The transforms are all files that begin so.
            outprefix=f"{folder}/found_",
        )
        there = ants.apply_transforms(
            image, ants.image_read(str(tissue)), moved["fwdtransforms"], "genericLabel"
        )
    return medians_of(image.numpy(), there.numpy().round().astype(int), image.spacing)


def paint(label_map: Path, tissue: Path, painted: Path) -> None:
    """Write the map of tissues, and an image with about the contrast of FLAIR in the brain."""
    places = tissue_of(read_labels(label_map))
    shown = is_one_of(places, *BRAIN, "fluid")
    values = torch.where(shown, column("mean")[places], 0.0).numpy()
    affine = nib.as_closest_canonical(nib.load(label_map)).affine
    for path, data in ((tissue, places.numpy()), (painted, ndimage.gaussian_filter(values, 0.7))):
        nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)


def medians_of(
    image: np.ndarray, tissue: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Return medians inside tissues, their rim peeled off where enough is left."""
    # Thick slices have no neighbours to spare.
    rim = np.ones((3, 3, 1)) if spacing[2] > 2.5 else ndimage.generate_binary_structure(3, 1)
    white = ndimage.binary_erosion(tissue == NAMES.index("white"), iterations=2)
    out = np.full(len(NAMES), np.nan)
    for place in range(len(NAMES)):
        whole = tissue == place
        core = ndimage.binary_erosion(whole, rim)
        where = core if core.sum() >= FEWEST else whole
        if where.sum() >= FEWEST:
            out[place] = np.median(image[where]) / np.median(image[white])
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
