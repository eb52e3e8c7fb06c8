"""Read whatever a scanner or a converter wrote; write one kind of image for all later steps."""

import errno
import gzip
import hashlib
import math
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from uadbids.errors import ScanError
from uadbids.preproc.geometry import (
    MASK_TOLERANCE_MM,
    corner_distance,
    find_geometry,
    rounded,
    straight,
)
from uadbids.preproc.values import from_zero
from uadbids.preproc.volume import READ_ERRORS

SMALLEST_MATRIX = 8
# A head at 0.5 mm has 512 x 512 x 400. More would take more memory than the model itself.
MOST_VOXELS = 2**27
_BLOCK = 2**20


def conform(in_file: Path, out_file: Path) -> dict[str, Any]:
    """Write a scan, 3D or 4D with one volume, as a finite, non-negative float32 image in RAS order.

    Only axes are flipped and permuted: no voxel is interpolated. Both the sform and the
    qform of the result hold the one affine that was chosen: the sform where its code is
    above 0, else the qform, else voxel sizes alone (the order of the NIfTI standard's
    methods 3, 2, 1). It is rounded, so that one scan gives one result by whichever converter
    it came.

    Facts for the sidecars: SHA-256 of the file, voxel size, orientation, where the geometry came
    from, and warnings. ScanError when the file cannot be read, or is no single finite volume with
    contrast.
    """
    image = _load(in_file)
    # Of the file as it is before it is read: whoever writes the outputs looks again.
    sha256 = file_digest(in_file).hex()
    data = _read(image, in_file)
    affine, source, warnings = find_geometry(image, in_file)
    data, n_set_to_air, doubts = from_zero(data, in_file)
    warnings += doubts

    canonical = nib.as_closest_canonical(nib.Nifti1Image(data, affine))
    place = rounded(canonical.affine)
    out = nib.Nifti1Image(np.asfortranarray(canonical.dataobj), place)
    out.header.set_xyzt_units("mm")
    out.set_qform(place, code=1)
    out.set_sform(straight(place), code=1)
    out.to_filename(out_file)
    return {
        "SourceSHA256": sha256,
        "SourceVoxelSizeMm": [round(float(v), 4) for v in voxel_sizes(affine)],
        "SourceOrientation": "".join(nib.aff2axcodes(affine)),
        "SourceGeometry": source,
        **({"SourceVoxelsSetToAir": n_set_to_air} if n_set_to_air else {}),
        "Warnings": warnings,
        "Flags": ["header"] if warnings else [],
    }


def check_image(in_file: Path) -> None:
    """Judge an image by its header and by how much follows it; no voxel is read.

    ScanError where `conform` would refuse it for these.
    """
    image = _load(in_file)
    _check_voxels(image, in_file)
    find_geometry(image, in_file)
    wanted = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    with in_file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if in_file.suffix == ".gz":
            # The last four bytes of gzip hold the size of what was packed, of its last part.
            stream.seek(-min(4, size), os.SEEK_END)
            size = int.from_bytes(stream.read(4), "little")
    # A file may be packed in parts, or hold four gigabytes: then it is read.
    if not wanted <= size <= wanted + 2**12:
        _read(image, in_file)


def on_grid_of(conformed: Path, mask_file: Path) -> np.ndarray:
    """Read a mask on the grid of a scan as it was found, in the voxel order of the conformed one.

    True where the mask is above 0. ScanError when it lies on another grid or cannot be read.
    """
    image = nib.load(conformed)
    found = _load(mask_file)
    data = _read(found, mask_file)
    affine, _, _ = find_geometry(found, mask_file)
    mask = nib.as_closest_canonical(nib.Nifti1Image(data, affine))
    gap = corner_distance(straight(mask.affine), image.affine, image.shape)
    if mask.shape != image.shape or gap > MASK_TOLERANCE_MM:
        raise ScanError(
            f"{mask_file}: the mask does not lie on the grid of its scan; resample it first"
        )
    return np.asarray(mask.dataobj) > 0


def file_digest(path: Path) -> bytes:
    """Hash the content of a file with SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def disk_is_full(path: Path) -> OSError:
    """Return the error that ITK leaves out when it could not write a file to its end."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _load(in_file: Path) -> nib.Nifti1Image:
    if in_file.exists() and not in_file.is_file():
        raise ScanError(f"{in_file}: this is no file; put the image in its place")
    try:
        image = nib.load(in_file)
    except FileNotFoundError as error:
        raise ScanError(f"{in_file}: the file is not there (a broken link?)") from error
    except READ_ERRORS as error:
        reason = _mistaken(in_file) or error
        raise ScanError(f"{in_file}: this is no readable NIfTI image ({reason})") from error
    if not isinstance(image, nib.Nifti1Image):
        raise ScanError(f"{in_file}: not a NIfTI image; convert it (for example with dcm2niix)")
    return image


def _mistaken(in_file: Path) -> str:
    """Say what a file is that is no image, or none of the kind that its name says."""
    with in_file.open("rb") as stream:
        start = stream.read(348)
    if start.startswith((b"version https://git-lfs", b"/annex/objects/")):
        return "it stands for content that is not here: fetch it (git lfs pull, git annex get)"
    if start[:2] == b"\x1f\x8b":
        return "" if in_file.suffix == ".gz" else "it is packed by gzip: rename it to .nii.gz"
    if in_file.suffix == ".gz" and start[344:347] in (b"n+1", b"n+2", b"ni1"):
        return "it is not packed by gzip: rename it to .nii"
    return ""


def _read(image: nib.Nifti1Image, in_file: Path) -> np.ndarray:
    """Read the one volume of an image, after its header has shown that there is one."""
    _check_voxels(image, in_file)
    try:
        _check_gzip(image, in_file)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except READ_ERRORS as error:
        raise ScanError(
            f"{in_file}: the file ends before the image does, or is damaged ({error}); "
            "copy it again"
        ) from error
    return data.reshape(data.shape[:3])


def _check_gzip(image: nib.Nifti1Image, in_file: Path) -> None:
    """Unpack to the end, where gzip keeps its checksum: nibabel stops at the last voxel."""
    if in_file.suffix != ".gz":
        return
    end = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    with gzip.open(in_file) as stream:
        size = 0
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > end + _BLOCK:
                raise ScanError(
                    f"{in_file}: the file holds more than the image that its header describes; "
                    "convert the scan again"
                )


def _check_voxels(image: nib.Nifti1Image, in_file: Path) -> None:
    """Judge shape and type before a byte is unpacked that the header only claims to be there."""
    dtype, shape = image.get_data_dtype(), image.shape
    text = "x".join(map(str, shape))
    if dtype.kind not in "iuf":
        raise ScanError(
            f"{in_file}: voxels of type {dtype} are no grey values; give the magnitude image"
        )
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise ScanError(
            f"{in_file}: the image has the shape {text}; one 3D volume is needed. "
            "Split a series into files of its own"
        )
    if min(shape[:3]) < SMALLEST_MATRIX:
        raise ScanError(
            f"{in_file}: {text} voxels are too few for a brain "
            f"(at least {SMALLEST_MATRIX} along each axis are needed)"
        )
    if math.prod(shape[:3]) > MOST_VOXELS:
        raise ScanError(
            f"{in_file}: {text} voxels are too many (at most {MOST_VOXELS:,} can be examined); "
            "resample the image to voxels of 0.5 mm or more"
        )
