"""Rigid alignment with the template."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ants
import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from uadbids.errors import ScanError
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import disk_is_full
from uadbids.preproc.similarity import Neighbours, look_around
from uadbids.preproc.template import Template

POINT_STEP = 997
"""Every how many voxels of the template's brain the rigid fit looks."""
# Ratio of a brain's brightest voxel to the 99.9th percentile; 1.1 to 2.2 in 9 scans.
_SPIKE = 3.0
# Below this `similarity.Neighbours.gain` a pose is looked at again.
DOUBTFUL_GAIN = 1.2

_SEARCH: dict[str, Any] = {
    "type_of_transform": "Affine",
    "aff_iterations": (1000, 500, 250),
    "aff_shrink_factors": (4, 2, 1),
    "aff_smoothing_sigmas": (2, 1, 0),
    "aff_random_sampling_rate": 0.5,
}
_SEARCH_INSIDE: dict[str, Any] = {
    "type_of_transform": "Rigid",
    "aff_iterations": (250, 100),
    "aff_shrink_factors": (2, 1),
    "aff_smoothing_sigmas": (1, 0),
    "aff_random_sampling_rate": 0.5,
}


def register(
    in_file: Path,
    mask_file: Path,
    out_xfm: Path,
    out_affine: Path,
    template: Template,
    config: PreprocConfig,
) -> dict[str, Any]:
    """Estimate the rigid transform from a scan to the template, brain to brain.

    Mutual information (Mattes) finds an affine transform, and the rigid transform nearest to it
    over the template's brain is kept (least squares, Kabsch 1976). A rigid search of its own has
    a flat optimum where brain and template differ in size: from three starting positions it ended
    up to 4 mm apart, the way through the affine one within 0.8 mm, in less time
    (``benchmarks/registration.py``). Where that pose is doubtful, see `_search_again`.

    Parameters
    ----------
    in_file, mask_file : Path
        Bias-corrected scan and brain mask on its grid.
    out_xfm, out_affine : Path
        Where to write the ITK text transform, which maps points of the template to the scan, and
        the affine one that it comes from, by which places get their names.
    template, config
        Template image and brain mask; voxel size for the estimation.

    Returns
    -------
    dict
        Facts: Dice overlap of the moved brain mask with the template's, and angle.

    Raises
    ------
    ScanError
        When no transform could be estimated.
    """
    fixed, coarse = _coarse(template, config.registration_spacing_mm)
    mask = ants.image_read(str(mask_file), pixeltype="float")
    moving = _without_spikes(ants.image_read(str(in_file), pixeltype="float") * mask, mask)
    with TemporaryDirectory() as folder:
        try:
            found = ants.registration(fixed, moving, outprefix=f"{folder}/", **_SEARCH)
            affine = ants.read_transform(found["fwdtransforms"][0])
        except (RuntimeError, IndexError) as error:
            raise ScanError(
                f"{in_file}: could not be aligned with the template ({error})"
            ) from error
        rigid = _rigid_transform(*_nearest_rigid(affine, template))
        brain = ants.image_read(str(template.brain_mask), pixeltype="float")
        other = _search_again(rigid, moving, mask, fixed, coarse, Path(folder))
    if other is not None:
        # The affine one has gone wrong, too.
        rigid = affine = other
    ants.write_transform(rigid, str(out_xfm))
    ants.write_transform(affine, str(out_affine))
    for path in (out_xfm, out_affine):
        # ITK says nothing of a disk that is full; this is the last line of a transform.
        if "\nFixedParameters:" not in path.read_text():
            raise disk_is_full(path)
    rotation = np.reshape(rigid.parameters[:9], (3, 3))
    overlap = _dice(rigid.apply_to_image(mask, brain).numpy() >= 0.5, brain.numpy() > 0)
    angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    return {
        "RegistrationOverlap": round(overlap, 3),
        "RegistrationAngleDegrees": round(float(angle), 2),
    }


def _without_spikes(image: ants.ANTsImage, mask: ants.ANTsImage) -> ants.ANTsImage:
    """Clip single bright voxels: mutual information divides the range of values into few bins."""
    values = image.numpy()
    top = float(np.percentile(values[mask.numpy() > 0], 99.9))
    if values.max() <= _SPIKE * top:
        return image
    return image.new_image_like(np.minimum(values, top))


@cache
def _coarse(template: Template, spacing_mm: float) -> tuple[ants.ANTsImage, ants.ANTsImage]:
    """Template and its brain mask with larger voxels; not to be changed."""
    t1w = ants.image_read(str(template.t1w))
    brain = ants.image_read(str(template.brain_mask), pixeltype="float")
    spacing = (spacing_mm,) * 3
    return (
        ants.resample_image(t1w, spacing, interp_type=0),
        ants.resample_image(brain, spacing, interp_type=1),
    )


def _rigid_transform(rotation: np.ndarray, offset: np.ndarray) -> ants.ANTsTransform:
    return ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, matrix=rotation, offset=offset
    )


def _search_again(
    rigid: ants.ANTsTransform,
    moving: ants.ANTsImage,
    mask: ants.ANTsImage,
    fixed: ants.ANTsImage,
    brain: ants.ANTsImage,
    folder: Path,
) -> ants.ANTsTransform | None:
    """Search again, inside both brains alone, where the pose is hardly better than those beside it.

    The outline of a brain that is cut off, or has lost its lower part, can mislead the first
    search by a centimetre. The search starts at the best of the poses; its result is given if the
    images say more of each other in it.
    """
    first = _look(rigid, moving, mask, fixed, brain)
    if first.gain >= DOUBTFUL_GAIN:
        return None
    start = rigid if first.gain >= 1 else _shifted(rigid, first.shift_mm)
    ants.write_transform(start, str(folder / "start.mat"))
    try:
        found = ants.registration(
            fixed, moving, outprefix=f"{folder}/again", initial_transform=f"{folder}/start.mat",
            mask=brain, moving_mask=mask, **_SEARCH_INSIDE,
        )  # fmt: skip
    except RuntimeError:
        # Too little of both brains in common; the page has a flag for it.
        return None
    other = ants.read_transform(found["fwdtransforms"][0])
    return other if _look(other, moving, mask, fixed, brain).here > first.here else None


def _look(rigid: ants.ANTsTransform, *images: ants.ANTsImage) -> Neighbours:
    moving, mask, fixed, brain = images
    return look_around(
        rigid.apply_to_image(moving, fixed).numpy(),
        rigid.apply_to_image(mask, fixed).numpy() >= 0.5,
        fixed.numpy(),
        brain.numpy() >= 0.5,
        spacing_mm=float(fixed.spacing[0]),
    )


def _shifted(rigid: ants.ANTsTransform, shift_mm: tuple[float, ...]) -> ants.ANTsTransform:
    """Return the pose in which the scan lies where the shifted template did."""
    rotation, offset = np.reshape(rigid.parameters[:9], (3, 3)), rigid.parameters[9:12]
    # Written by `_rigid_transform`, without a centre of rotation; ITK counts left and back.
    return _rigid_transform(rotation, offset + rotation @ (np.array(shift_mm) * (-1, -1, 1)))


def _nearest_rigid(affine: ants.ANTsTransform, template: Template) -> tuple[np.ndarray, np.ndarray]:
    """Return rotation (3, 3) and shift (3,) in mm (LPS) that move the brain most like `affine`."""
    points = _points(template)
    moved = np.array([affine.apply_to_point(point) for point in points])
    centre, moved_centre = points.mean(axis=0), moved.mean(axis=0)
    rotation = Rotation.align_vectors(moved - moved_centre, points - centre)[0].as_matrix()
    return rotation, moved_centre - rotation @ centre


@cache
def _points(template: Template) -> np.ndarray:
    """Points all over the brain of a template, (N, 3) in mm (LPS)."""
    image = nib.load(template.brain_mask)
    voxels = np.argwhere(np.asarray(image.dataobj) > 0)[::POINT_STEP]
    return apply_affine(image.affine, voxels) * (-1, -1, 1)


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))
