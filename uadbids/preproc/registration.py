"""Rigid alignment with the template, and the way back; each with exactly one interpolation."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import ants
import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from uadbids.errors import ScanError
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import on_grid_of
from uadbids.preproc.grid import Template

POINT_STEP = 997
"""Every how many voxels of the template's brain the rigid fit looks."""
RAS = nib.orientations.axcodes2ornt("RAS")

_SEARCH: dict[str, Any] = {
    "type_of_transform": "Affine",
    "aff_iterations": (1000, 500, 250),
    "aff_shrink_factors": (4, 2, 1),
    "aff_smoothing_sigmas": (2, 1, 0),
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
    (``benchmarks/registration.py``).

    Parameters
    ----------
    in_file, mask_file : Path
        Bias-corrected scan and brain mask on its grid.
    out_xfm : Path
        Where to write the ITK text transform; it maps points of the template to the scan.
    out_affine : Path
        Where to write the affine one that it comes from, by which places get their names.
    template : Template
        Template image and brain mask.
    config : PreprocConfig
        Voxel size for the estimation.

    Returns
    -------
    dict
        Facts: Dice overlap of the moved brain mask with the template's, and angle.

    Raises
    ------
    ScanError
        When no transform could be estimated.
    """
    spacing = (config.registration_spacing_mm,) * 3
    fixed = ants.resample_image(ants.image_read(str(template.t1w)), spacing, interp_type=0)
    mask = ants.image_read(str(mask_file), pixeltype="float")
    moving = ants.image_read(str(in_file), pixeltype="float") * mask
    with TemporaryDirectory() as folder:
        try:
            found = ants.registration(fixed, moving, outprefix=f"{folder}/", **_SEARCH)
            affine = ants.read_transform(found["fwdtransforms"][0])
        except (RuntimeError, IndexError) as error:
            raise ScanError(
                f"{in_file}: could not be aligned with the template ({error})"
            ) from error
    rotation, offset = _nearest_rigid(affine, template)
    rigid = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, matrix=rotation, offset=offset
    )
    ants.write_transform(rigid, str(out_xfm))
    ants.write_transform(affine, str(out_affine))
    brain = ants.image_read(str(template.brain_mask), pixeltype="float")
    overlap = _dice(rigid.apply_to_image(mask, brain).numpy() >= 0.5, brain.numpy() > 0)
    angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    return {
        "RegistrationOverlap": round(overlap, 3),
        "RegistrationAngleDegrees": round(float(angle), 2),
    }


def _nearest_rigid(affine: ants.ANTsTransform, template: Template) -> tuple[np.ndarray, np.ndarray]:
    """Return rotation (3, 3) and shift (3,) in mm (LPS) that move the brain most like `affine`."""
    image = nib.load(template.brain_mask)
    voxels = np.argwhere(np.asarray(image.dataobj) > 0)[::POINT_STEP]
    points = apply_affine(image.affine, voxels) * (-1, -1, 1)
    moved = np.array([affine.apply_to_point(point) for point in points])
    centre, moved_centre = points.mean(axis=0), moved.mean(axis=0)
    u, _, vt = np.linalg.svd((points - centre).T @ (moved - moved_centre))
    # The sign keeps a mirror image from passing as a rotation.
    rotation = vt.T @ np.diag([1, 1, np.linalg.det(vt.T @ u.T)]) @ u.T
    return rotation, moved_centre - rotation @ centre


def to_template(
    in_file: Path, mask_file: Path, xfm: Path, out_file: Path, out_mask: Path, template: Template
) -> None:
    """Resample a scan and its brain mask to the template's 1 mm grid.

    Parameters
    ----------
    in_file, mask_file, xfm : Path
        Scan, brain mask on its grid, and transform of `register`.
    out_file, out_mask : Path
        Results: float32 image (zero outside the brain) and uint8 mask, (170, 204, 170) voxels.
    template : Template
        Gives the grid.

    Raises
    ------
    ScanError
        When nothing of the brain lies in the template's field of view.
    """
    reference = ants.image_read(str(template.t1w))
    transform = ants.read_transform(str(xfm))
    moved = {
        path: transform.apply_to_image(
            ants.image_read(str(path), pixeltype="float"), reference
        ).numpy()
        for path in (in_file, mask_file)
    }
    # Half of a voxel is brain: smoother than the nearest slice of a scan with thick ones.
    brain = moved[mask_file] >= 0.5
    if not brain.any():
        raise ScanError(f"{in_file}: after alignment no brain lies inside the template")
    template.save(np.where(brain, moved[in_file], 0).astype(np.float32), out_file)
    template.save(brain.astype(np.uint8), out_mask)


def mask_to_template(
    in_file: Path, conformed: Path, xfm: Path, out_file: Path, template: Template
) -> None:
    """Resample a mask that lies on the scan's own grid to the template's.

    Parameters
    ----------
    in_file : Path
        Mask on the grid of the scan as it was found; every value above 0 counts.
    conformed, xfm : Path
        Conformed scan and transform of `register`.
    out_file : Path
        Result, uint8.
    template : Template
        Gives the grid.

    Raises
    ------
    ScanError
        When the mask lies on another grid.
    """
    mask = on_grid_of(conformed, in_file)
    reference = ants.image_read(str(template.t1w))
    like = ants.image_read(str(conformed), pixeltype="float")
    moved = ants.read_transform(str(xfm)).apply_to_image(
        like.new_image_like(mask.astype(np.float32)), reference
    )
    template.save((moved.numpy() >= 0.5).astype(np.uint8), out_file)


def to_scan(
    in_file: Path,
    xfm: Path,
    conformed: Path,
    source: Path,
    out_file: Path,
    kind: Literal["map", "labels"],
) -> None:
    """Bring an image of the template grid home: on the voxels and with the header of the scan.

    Parameters
    ----------
    in_file : Path
        Image on the template grid.
    xfm : Path
        Transform of `register`; its inverse is used.
    conformed : Path
        The conformed scan: same voxels as the source, in RAS order.
    source : Path
        The scan as it was found; its grid and header geometry are repeated exactly.
    out_file : Path
        Where to write the result.
    kind : {"map", "labels"}
        Maps are interpolated linearly (float32), labels by nearest neighbour (int32).
    """
    moved = (
        ants.read_transform(str(xfm))
        .invert()
        .apply_to_image(
            ants.image_read(str(in_file), pixeltype="float"),
            ants.image_read(str(conformed)),
            interpolation="linear" if kind == "map" else "nearestneighbor",
        )
    )
    dtype = np.dtype(np.float32 if kind == "map" else np.int32)
    write_like_source(moved.numpy().astype(dtype), source, out_file)


def write_like_source(data: np.ndarray, source: Path, out_file: Path) -> None:
    """Write an array of the conformed (RAS) grid in the voxel order and geometry of the source.

    Only the geometry of the source header is repeated (qform, sform, codes, voxel sizes):
    free-text fields may hold names.

    Parameters
    ----------
    data : ndarray, shape of the conformed image
        Voxels in RAS order.
    source, out_file : Path
        Scan as it was found, and result.
    """
    original = nib.load(source)
    # nibabel prefers sform, qform and voxel sizes in the order of `conform`. RAS is what the
    # conformed voxels were put in; of an affine at 45 degrees it could not be read again.
    back = nib.orientations.ornt_transform(RAS, nib.io_orientation(original.affine))
    data = np.ascontiguousarray(nib.orientations.apply_orientation(data, back))
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
                  "srow_x", "srow_y", "srow_z", "qform_code", "sform_code"):  # fmt: skip
        header[field] = original.header[field]
    pixdim = header["pixdim"].copy()
    pixdim[:4] = original.header["pixdim"][:4]
    header["pixdim"] = pixdim
    header.set_xyzt_units("mm")
    nib.Nifti1Image(data, None, header).to_filename(out_file)


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))
