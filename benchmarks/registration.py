"""How far apart the same head ends up when it starts from three positions; side by side.

``python benchmarks/registration.py SCAN [SCAN ...]``. A rigid search at 2 mm, and ours: an affine
search at 3 mm of which the nearest rigid transform is kept. Spread is the largest distance in mm,
over the brain, between the result from the scan's own position and from one that was turned by
up to 12 degrees and shifted by up to 30 mm.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from uadbids.run.setup import prepare_environment

MOVES = (((0, 0, 0), (0, 0, 0)), ((12, -5, 6), (10, 20, -15)), ((-10, 8, -9), (-12, 5, 30)))
RIGID = {
    "type_of_transform": "Rigid",
    "aff_iterations": (1000, 500, 250),
    "aff_shrink_factors": (4, 2, 1),
    "aff_smoothing_sigmas": (2, 1, 0),
}


def main(scans: list[Path], folder: Path) -> None:
    """Print one row for each scan and way."""
    prepare_environment(folder, random_seed=20210301, threads=1)
    import ants
    import nibabel as nib
    import numpy as np
    from nibabel.affines import apply_affine
    from scipy.spatial.transform import Rotation

    from uadbids.preproc import registration
    from uadbids.preproc.bias_field import correct_bias
    from uadbids.preproc.brain_mask import extract_brain
    from uadbids.preproc.config import PreprocConfig
    from uadbids.preproc.conform import conform
    from uadbids.preproc.template import Template

    template, config = Template.packaged(), PreprocConfig()
    brain = nib.load(template.brain_mask)
    points = apply_affine(brain.affine, np.argwhere(np.asarray(brain.dataobj) > 0)[::5003])
    ways = {"rigid at 2 mm": (RIGID, 2.0), "affine at 3 mm, nearest rigid": (None, 3.0)}

    def moved_points(head: Path, mask: Path, search: dict | None, spacing: float) -> np.ndarray:
        """Template points in the scan, RAS millimetres."""
        ours = registration._SEARCH
        if search is not None:
            registration._SEARCH = search
        try:
            xfm = folder / "x.txt"
            used = PreprocConfig(registration_spacing_mm=spacing)
            registration.register(head, mask, xfm, xfm.with_name("affine.txt"), template, used)
        finally:
            registration._SEARCH = ours
        transform = ants.read_transform(str(xfm))
        lps = np.array([transform.apply_to_point(p) for p in points * (-1, -1, 1)])
        return lps * (-1, -1, 1)

    print("| scan | way | spread, mm | seconds |\n|---|---|---|---|")
    for scan in scans:
        conformed, mask, corrected = (folder / f"{n}.nii.gz" for n in ("c", "b", "n"))
        conform(scan, conformed)
        extract_brain(conformed, mask, method="deepbet")
        correct_bias(conformed, mask, corrected, config)
        for name, (search, spacing) in ways.items():
            found, seconds = [], []
            for angles, shift in MOVES:
                move = np.eye(4)
                move[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
                move[:3, 3] = shift
                for path in (corrected, mask):
                    image = nib.load(path)
                    turned = nib.Nifti1Image(np.asarray(image.dataobj), move @ image.affine)
                    turned.to_filename(folder / f"moved_{path.name}")
                started = time.monotonic()
                there = moved_points(
                    folder / "moved_n.nii.gz", folder / "moved_b.nii.gz", search, spacing
                )
                seconds.append(time.monotonic() - started)
                found.append(apply_affine(np.linalg.inv(move), there))
            spread = max(np.linalg.norm(other - found[0], axis=1).max() for other in found[1:])
            print(f"| {scan.name} | {name} | {spread:.2f} | {np.median(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    with TemporaryDirectory() as work:
        main([Path(path) for path in sys.argv[1:]], Path(work))
