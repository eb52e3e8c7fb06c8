"""deepbet (Fisch et al. 2024), whose mask has to hold in the mirrored scan where it is doubtful."""

import math
from pathlib import Path
from typing import Any

import cc3d
import deepbet
import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch.nn.functional import interpolate

from uadbids.errors import ScanError
from uadbids.preproc.masks import Bools, Spacing, ball, largest_piece

# Half the thickness of what two masks may differ by, and pieces that are too small for scalp.
_AGREE_MM, _LEAST_ML = 2.0, 1.0
# In 30 scans the coarse mask lacked 0 to 12 mL of a mask that the mirrored scan left as it was, and
# 10 mL or more of those that it took scalp from (docs/decisions/brain-mask.md).
DOUBTFUL_ML = 5.0


class BrainExtraction(deepbet.BrainExtraction):
    """Keeps the coarse mask of the whole head, by which deepbet finds where the brain lies."""

    _coarse: torch.Tensor

    def get_bbox_with_margin(self, mask_small: torch.Tensor, *args: Any) -> Any:
        """Keep the mask on the way."""
        self._coarse = mask_small
        return super().get_bbox_with_margin(mask_small, *args)

    def masks(self, image: nib.Nifti1Image) -> tuple[Bools, Bools]:
        """Return deepbet's mask and its coarse one, on the grid of the image."""
        mask = np.asarray(self.run(image)[1].dataobj) > 0
        coarse = interpolate(self._coarse[None, None], mask.shape, mode="nearest-exact")[0, 0]
        return mask, coarse.cpu().numpy() > 0


def run_deepbet(image: nib.Nifti1Image, in_file: Path, device: str) -> Bools:
    """Find the brain of a conformed scan; the weights lie inside deepbet's wheel.

    deepbet now and then takes scalp and skull of one side for brain, and in the mirrored scan those
    of the other side. The mirrored scan is looked at, too, where deepbet's mask holds thick parts
    that its own coarse mask of the whole head lacks; what only one of the two holds is taken away.
    The scan is in RAS order, its file is for messages, the device is ``cpu`` or ``cuda[:N]``.
    ScanError where there is no head.
    """
    bet = BrainExtraction(no_gpu=device == "cpu")
    data, spacing = np.asarray(image.dataobj), image.header.get_zooms()[:3]
    voxel_ml = math.prod(spacing) / 1000
    try:
        mask, coarse = bet.masks(image)
        doubtful = thick_part(mask & ~coarse, spacing)
        if np.count_nonzero(doubtful) * voxel_ml < DOUBTFUL_ML:
            return mask
        # Along x, which is left to right.
        mirrored, _ = bet.masks(nib.Nifti1Image(data[::-1], image.affine, image.header))
    except (AssertionError, ValueError, IndexError) as error:
        # deepbet asserts, or takes the maximum of nothing, where it sees no head.
        raise ScanError(f"{in_file}: deepbet found no brain in it; is this a head?") from error
    return mirror_consistent(mask, mirrored[::-1], spacing)


def mirror_consistent(mask: Bools, other: Bools, spacing: Spacing) -> Bools:
    """Take away what only one of two brain masks holds, where that is thick.

    Both masks are ndarrays of bool, shape (X, Y, Z); voxel sizes in mm. Returned is the largest
    piece of what is left of ``mask``; ``mask`` itself where the masks agree.
    """
    doubtful = thick_part(mask & ~other, spacing)
    return largest_piece(mask & ~doubtful) if doubtful.any() else mask


def thick_part(alone: Bools, spacing: Spacing) -> Bools:
    """Pieces of 1 mL or more that are thicker than 4 mm of what only one of two masks holds.

    Two masks that agree differ by less along their boundaries. ``alone`` has shape (X, Y, Z).
    """
    around = ball(_AGREE_MM, spacing)
    thick = ndimage.binary_erosion(alone, around, border_value=1)
    grown = ndimage.binary_dilation(thick, around, mask=alone)
    smallest = math.ceil(1000 * _LEAST_ML / math.prod(spacing))
    kept: Bools = cc3d.dust(grown, threshold=smallest, connectivity=26) > 0
    return kept
