"""Find the brain: HD-BET where its weights are, else deepbet, or a mask that is there already."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from uadbids.errors import ScanError
from uadbids.preproc.config import Method
from uadbids.preproc.conform import file_digest, on_grid_of
from uadbids.preproc.hd_bet import run_hd_bet
from uadbids.preproc.masks import largest_piece, on_faces

SMALLEST_ML = 50.0
_LARGEST_ML = 2200.0
# Median deviations of the background, share of the brightest of the image, and ratio of volumes:
# in 8 scans on one level, what differs from it at all is at most 1.05 times what differs clearly.
_NOISES, _FAINT, _HALO = 8.0, 0.1, 1.08


def extract_brain(
    in_file: Path,
    out_mask: Path,
    *,
    method: Method,
    device: str = "cpu",
    threads: int = 1,
    weights: Path | None = None,
    weights_sha256: str = "",
    given_mask: Path | None = None,
) -> dict[str, Any]:
    """Write the brain mask of a conformed scan (RAS): uint8, on its grid.

    The method ``mask`` takes `given_mask`, on the grid of the scan as it was found; ``none`` takes
    every voxel that differs from the background; the others are networks, which run on a device
    (``cpu`` or ``cuda[:N]``). HD-BET needs the folder of its weights; their hash is for the facts,
    which are method and brain volume in ml.

    ScanError when no brain was found or the given mask does not fit the scan.
    """
    torch.set_num_threads(threads)
    image = nib.load(in_file)
    if method == "deepbet":
        # Its import takes seconds.
        from uadbids.preproc.deepbet import run_deepbet

        mask = run_deepbet(image, in_file, device)
    elif method == "hd-bet":
        mask = run_hd_bet(in_file, out_mask.parent, _needed(weights, "HD-BET's weights"), device)
    elif method == "mask":
        mask = on_grid_of(in_file, _needed(given_mask, f"{in_file}: a brain mask"))
    else:
        mask = _not_background(image, in_file)
    volume = _millilitres(mask, image)
    if volume < SMALLEST_ML:
        raise ScanError(
            f"{in_file}: {method} found no brain ({volume:.0f} ml); look at the image, or give "
            "a mask by --skull-strip mask"
        )
    out = nib.Nifti1Image(mask.astype(np.uint8), image.affine, image.header)
    out.header.set_data_dtype(np.uint8)
    out.to_filename(out_mask)
    return {
        "BrainMaskMethod": method,
        **({"BrainMaskWeightsSHA256": weights_sha256} if method == "hd-bet" else {}),
        **(_origin(given_mask) if method == "mask" and given_mask else {}),
        "BrainVolumeMl": round(volume, 1),
    }


def _origin(mask: Path) -> dict[str, str]:
    """Name a given mask by its place in its dataset, and by its content."""
    parts = mask.parts
    subjects = [i for i, part in enumerate(parts[:-1]) if part.startswith("sub-")]
    start = subjects[-1] if subjects else len(parts) - 1
    start -= 2 * (parts[start - 2] == "derivatives")
    return {
        "BrainMaskSource": "/".join(parts[start:]),
        "BrainMaskSHA256": file_digest(mask).hex(),
    }


def _needed(path: Path | None, what: str) -> Path:
    if path is None:
        raise ScanError(f"{what} is needed, and was not found")
    return path


def _not_background(image: nib.Nifti1Image, in_file: Path) -> np.ndarray:
    """Take the largest piece of what differs from the background on the image's faces."""
    data = np.asarray(image.dataobj, dtype=np.float32)
    edge = data[on_faces(data.shape)]
    background = float(np.median(edge))
    noise = float(np.median(np.abs(edge - background)))
    away = data - background
    differs = largest_piece(away != 0)
    faint = _FAINT * float(np.quantile(np.abs(away), 0.99))
    beyond = away[np.abs(away) > faint]
    brighter = float((beyond > 0).mean()) if beyond.size else 1.0
    if 0.05 < brighter < 0.95:
        # A z-scored brain on 0 has values on both sides of its background.
        away, faint = np.abs(away), faint / 5
    elif brighter < 0.5:
        away = -away
    faint = max(_NOISES * noise, faint)
    clear = ndimage.binary_fill_holes(largest_piece(away > faint))
    # Else a brain on one level keeps its darkest fluid.
    mask = differs if differs.sum() <= _HALO * clear.sum() else clear
    volume = _millilitres(mask if mask is differs else largest_piece(away > faint / 2), image)
    if volume > _LARGEST_ML:
        raise ScanError(
            f"{in_file}: {volume:.0f} ml differ from the background, more than any brain: this is "
            "not skull-stripped, or its background is no background; correct SkullStripped in the "
            "sidecar, or choose another --skull-strip"
        )
    return mask


def _millilitres(mask: np.ndarray, image: nib.Nifti1Image) -> float:
    return float(mask.sum() * np.prod(image.header.get_zooms()[:3]) / 1000)
