"""Lesion contrast before and after N4, as we run it and as ANTs runs it by default.

``python benchmarks/n4_contrast.py SOURCES``: SOURCES holds ``brats2013`` and ``isbi-ms``. Contrast
is the median grey value of the lesion over that of the rest of the brain.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from uadbids.run.setup import prepare_environment

VARIANTS = {
    "four levels (ANTs' default)": {"n4_iterations": (50,) * 4, "n4_spared_fraction": 0.0},
    "two levels": {"n4_spared_fraction": 0.0},
    "four levels, bright fifth spared": {"n4_iterations": (50,) * 4},
    "two levels, bright fifth spared (ours)": {},
}
CASES = (
    ("brats2013", "derivatives/experts", "*_mask.nii.gz"),
    ("isbi-ms", "derivatives/raters", "*rater1_mask.nii.gz"),
)


def main(sources: Path, folder: Path) -> None:
    """Print one row for each scan and variant."""
    prepare_environment(folder, random_seed=20210301, threads=1)
    import nibabel as nib
    import numpy as np

    from uadbids.bids.query import find_scans
    from uadbids.preproc.bias_field import correct_bias
    from uadbids.preproc.brain_mask import extract_brain
    from uadbids.preproc.config import PreprocConfig, choose_method
    from uadbids.preproc.conform import conform, on_grid_of

    def contrast(path: Path, lesions: np.ndarray, brain: np.ndarray) -> float:
        values = np.asarray(nib.load(path).dataobj)
        return float(np.median(values[lesions]) / np.median(values[brain & ~lesions]))

    print("| scan | N4 | contrast before | after | change | seconds |\n|---|---|---|---|---|---|")
    for dataset, derivatives, pattern in CASES:
        for scan in find_scans(sources / dataset):
            folder_of_masks = sources / dataset / derivatives / f"sub-{scan.subject}" / "anat"
            masks = sorted(folder_of_masks.glob(pattern))
            if not masks:
                continue
            conformed, brain_file, out = (folder / f"{n}.nii.gz" for n in ("c", "b", "n4"))
            conform(scan.path, conformed)
            method = choose_method("auto", scan.metadata, None, None)
            extract_brain(conformed, brain_file, method=method)
            lesions = on_grid_of(conformed, masks[0])
            brain = np.asarray(nib.load(brain_file).dataobj) > 0
            before = contrast(conformed, lesions, brain)
            for name, settings in VARIANTS.items():
                started = time.monotonic()
                correct_bias(conformed, brain_file, out, PreprocConfig(**settings))
                seconds = time.monotonic() - started
                after = contrast(out, lesions, brain)
                change = 100 * (after / before - 1)
                print(
                    f"| {dataset} {scan.name} | {name} | {before:.3f} | {after:.3f} "
                    f"| {change:+.1f} % | {seconds:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    with TemporaryDirectory() as work:
        main(Path(sys.argv[1]), Path(work))
