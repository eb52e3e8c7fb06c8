"""How far apart the same head ends up when it starts elsewhere; ways side by side.

``python benchmarks/registration.py SCAN [SCAN ...]``. A rigid search of ANTsPy at 2 mm, an affine
one at 3 mm of which the nearest rigid transform is kept, and ours. Spread is the largest distance
in mm, over the brain, between the result from the scan's own position and from one turned by
up to 12 degrees and shifted by up to 30 mm; jitter the mean distance where the header differs by
some millionths of a millimetre, as the same scan does from two converters.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from uadbids.run.setup import prepare_environment

# Degrees, and millimetres.
MOVES = (((12, -5, 6), (10, 20, -15)), ((-10, 8, -9), (-12, 5, 30)))
JITTERS = (((4e-6, -6e-6, 3e-6), (5e-6, -4e-6, 6e-6)), ((-5e-6, 2e-6, 6e-6), (-6e-6, 5e-6, -3e-6)))


def main(scans: list[Path], folder: Path) -> None:
    """Print one row for each scan and way."""
    prepare_environment(folder, random_seed=20210301, threads=1)
    import nibabel as nib
    import numpy as np
    from ants_search import AFFINE, RIGID, ants_pose
    from nibabel.affines import apply_affine
    from scipy.spatial.transform import Rotation

    from uadbids.preproc.bias_field import correct_bias
    from uadbids.preproc.brain_mask import extract_brain
    from uadbids.preproc.config import PreprocConfig
    from uadbids.preproc.conform import conform
    from uadbids.preproc.registration import register
    from uadbids.preproc.template import Template
    from uadbids.preproc.transform import read_transform

    template, config = Template.packaged(), PreprocConfig()
    brain = nib.load(template.brain_mask)
    points = apply_affine(brain.affine, np.argwhere(np.asarray(brain.dataobj) > 0)[::5003])

    def ours(head: Path, mask: Path) -> np.ndarray:
        xfm = folder / "x.txt"
        register(head, mask, xfm, folder / "affine.txt", template, config)
        return read_transform(xfm)

    ways: dict[str, Callable[[Path, Path], np.ndarray]] = {
        "ANTsPy, rigid at 2 mm": lambda *files: ants_pose(*files, 2.0, RIGID),
        "ANTsPy, affine at 3 mm, nearest rigid": lambda *files: ants_pose(*files, 3.0, AFFINE),
        "ours": ours,
    }

    def moved(path: Path, move: np.ndarray) -> Path:
        image = nib.load(path)
        turned = nib.Nifti1Image(np.asarray(image.dataobj), move @ image.affine)
        turned.set_qform(turned.affine, code=1)
        turned.to_filename(folder / f"moved_{path.name}")
        return folder / f"moved_{path.name}"

    print("| scan | way | spread, mm | jitter, mm | seconds |\n|---|---|---|---|---|")
    for scan in scans:
        conformed, mask, corrected = (folder / f"{n}.nii" for n in ("c", "b", "n"))
        conform(scan, conformed)
        extract_brain(conformed, mask, method="deepbet")
        correct_bias(conformed, mask, corrected, config)
        for name, way in ways.items():
            started = time.process_time()
            first = apply_affine(way(corrected, mask), points)
            seconds = time.process_time() - started
            apart = []
            for angles, shift in (*MOVES, *JITTERS):
                move = np.eye(4)
                move[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
                move[:3, 3] = shift
                pose = np.linalg.inv(move) @ way(moved(corrected, move), moved(mask, move))
                apart.append(np.linalg.norm(apply_affine(pose, points) - first, axis=1))
            spread = max(gap.max() for gap in apart[: len(MOVES)])
            jitter = max(gap.mean() for gap in apart[len(MOVES) :])
            print(
                f"| {scan.name} | {name} | {spread:.2f} | {jitter:.3f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    with TemporaryDirectory() as work:
        main([Path(path) for path in sys.argv[1:]], Path(work))
