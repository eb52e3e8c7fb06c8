"""ANTsPy's search for a pose, beside ours: what uadbids did before it had a search of its own."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ants
import numpy as np

from uadbids.preproc.registration import _nearest_rigid
from uadbids.preproc.template import Template
from uadbids.preproc.transform import read_transform
from uadbids.preproc.volume import read_volume

AFFINE: dict[str, Any] = {
    "type_of_transform": "Affine",
    "aff_iterations": (1000, 500, 250),
    "aff_shrink_factors": (4, 2, 1),
    "aff_smoothing_sigmas": (2, 1, 0),
    "aff_random_sampling_rate": 0.5,
}
RIGID = {key: value for key, value in AFFINE.items() if key != "aff_random_sampling_rate"} | {
    "type_of_transform": "Rigid"
}


def ants_pose(
    image_file: Path, mask_file: Path, spacing_mm: float, search: dict[str, Any]
) -> np.ndarray:
    """Return the rigid pose, from point of the template to point of the scan: 4 x 4, RAS."""
    template = Template.packaged()
    t1w = ants.image_read(str(template.t1w))
    fixed = ants.resample_image(t1w, (spacing_mm,) * 3, interp_type=0)
    image, mask = (
        ants.image_read(str(path), pixeltype="float") for path in (image_file, mask_file)
    )
    with TemporaryDirectory() as folder:
        found = ants.registration(fixed, image * mask, outprefix=f"{folder}/", **search)
        transform = ants.read_transform(found["fwdtransforms"][0])
        ants.write_transform(transform, f"{folder}/affine.txt")
        affine = read_transform(Path(folder, "affine.txt"))
    brain = read_volume(template.brain_mask)
    points = np.argwhere(brain.data > 0)[::997] @ brain.affine[:3, :3].T + brain.affine[:3, 3]
    return np.vstack([_nearest_rigid(affine[:3], points), (0, 0, 0, 1)])
