"""Between the grids of scan and template: each way with exactly one interpolation."""

from pathlib import Path
from typing import Literal

import ants
import nibabel as nib
import numpy as np

from uadbids.errors import ScanError
from uadbids.preproc.conform import on_grid_of
from uadbids.preproc.display import Display
from uadbids.preproc.template import Template

RAS = nib.orientations.axcodes2ornt("RAS")


def to_template(
    in_file: Path, mask_file: Path, xfm: Path, out_file: Path, out_mask: Path, template: Template
) -> None:
    """Resample a scan and its brain mask to the template's 1 mm grid, by `register`'s transform.

    Results are a float32 image, zero outside the brain, and a uint8 mask, (170, 204, 170) voxels.
    ScanError when nothing of the brain lies in the template's field of view.
    """
    moved, brain = (
        _moved(ants.image_read(str(path), pixeltype="float"), xfm, template)
        for path in (in_file, mask_file)
    )
    # Half of a voxel is brain: smoother than the nearest slice of a scan with thick ones.
    brain = brain >= 0.5
    if not brain.any():
        raise ScanError(f"{in_file}: after alignment no brain lies inside the template")
    template.save(np.where(brain, moved, 0).astype(np.float32), out_file)
    template.save(brain.astype(np.uint8), out_mask)


def mask_to_template(
    in_file: Path, conformed: Path, xfm: Path, out_file: Path, template: Template
) -> None:
    """Resample a mask, of which every value above 0 counts, to the template's grid, as uint8.

    It lies on the grid of the scan as it was found, else ScanError; the transform is `register`'s.
    """
    mask = on_grid_of(conformed, in_file)
    like = ants.image_read(str(conformed), pixeltype="float")
    moved = _moved(like.new_image_like(mask.astype(np.float32)), xfm, template)
    template.save((moved >= 0.5).astype(np.uint8), out_file)


def _moved(image: ants.ANTsImage, xfm: Path, template: Template) -> np.ndarray:
    reference = ants.image_read(str(template.t1w))
    return np.asarray(ants.read_transform(str(xfm)).apply_to_image(image, reference).numpy())


def to_scan(
    in_file: Path,
    xfm: Path,
    conformed: Path,
    source: Path,
    out_file: Path,
    kind: Literal["map", "labels"],
    display: Display | None = None,
) -> None:
    """Resample an image of the template grid to native space, with the header of the scan.

    By the inverse of the transform of `register`, to the voxels of the conformed scan, and from
    there to those of the source, the scan as it was found, as `write_like_source` does. Maps are
    interpolated linearly (float32), labels by nearest neighbour (int32).
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
    write_like_source(moved.numpy().astype(dtype), source, out_file, display)


def write_like_source(
    data: np.ndarray, source: Path, out_file: Path, display: Display | None = None
) -> None:
    """Write an array of the conformed (RAS) grid in the voxel order and geometry of the source.

    The source is the scan as it was found. Only the geometry of its header is repeated, exactly
    (qform, sform, codes, voxel sizes): free-text fields may hold names.
    """
    try:
        original = nib.load(source)
    except FileNotFoundError as error:
        raise ScanError(
            f"{source}: the file vanished while it was examined; nothing was written"
        ) from error
    # nibabel prefers sform, qform and voxel sizes in the order of `conform`. RAS is what the
    # conformed voxels were put in; of an affine at 45 degrees it could not be read again.
    back = nib.orientations.ornt_transform(RAS, nib.io_orientation(original.affine))
    data = np.asfortranarray(nib.orientations.apply_orientation(data, back))
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
    if display:
        display.write(header)
    nib.Nifti1Image(data, None, header).to_filename(out_file)
