"""Have the reader look at a whole brain."""

from typing import NamedTuple

import numpy as np
import torch

from uadbids.detection.postprocess import Bools, Floats, bounding_box
from uadbids.model.folded import FoldedReader
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader
from uadbids.model.reader_inputs import LOWEST, UNIT, reader_inputs

# Voxels around the brain, for the convolutions.
_MARGIN = 4


class ReaderScan(NamedTuple):
    """A scan on the template grid as the reader takes it; arrays of shape (X, Y, Z)."""

    volume: Floats  # intensities in [0, 1]
    reconstruction: Floats  # of the same; counts inside the crop
    brain: Bools
    crop: Crop  # what is reconstructed
    normal: Floats  # robust z of normal grey matter at its place (`Template.normal_brightness`)


@torch.inference_mode()
def lesion_probability(reader: Reader, scan: ReaderScan, device: torch.device) -> Floats:
    """Probability of lesion in each voxel of the brain, in [0, 1]; 0 outside, shape (X, Y, Z).

    The same for the same input. The reader is in evaluation mode, on the device; the scan has a
    1 mm grid.
    """
    probability = np.zeros(scan.brain.shape, dtype=np.float32)
    if not scan.brain.any():
        return probability
    ends = zip(scan.crop.start, scan.crop.shape, strict=True)
    x, y, z = (slice(max(start, 0), max(start + size, 0)) for start, size in ends)
    volume, reconstruction, brain, normal = (
        torch.from_numpy(np.ascontiguousarray(array))
        for array in (scan.volume, scan.reconstruction[x, y, z], scan.brain, scan.normal)
    )
    box = bounding_box(scan.brain, margin=_MARGIN)
    inputs = reader_inputs(volume, brain, reconstruction, (x, y, z), normal)[(slice(None), *box)]
    factor = 2 ** (len(reader.config.widths) - 1)
    i, j, k = inputs.shape[1:]
    padded = torch.zeros(len(inputs), *(-(-n // factor) * factor for n in (i, j, k)))
    padded[0] = LOWEST / UNIT
    padded[:, :i, :j, :k] = inputs
    found = torch.sigmoid(FoldedReader(reader)(padded[None].to(device)).float())[0].cpu().numpy()
    probability[box] = found[:i, :j, :k] * scan.brain[box]
    return probability
