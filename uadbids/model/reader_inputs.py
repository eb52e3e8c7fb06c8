"""What the reader sees of a volume, on the volume's device: the same in training and in use."""

import torch
from torch import Tensor

Box = tuple[slice, slice, slice]

LOWEST, HIGHEST = -8.0, 12.0
"""Robust z that inputs are cut at; outside the brain is the lowest."""
UNIT = 4.0
"""Robust z that is 1 to the network."""
# As `detection.hyperintensity` has them.
_TISSUE, _MAD_TO_SD = 0.7, 1.4826


def tissue_level(volume: Tensor, brain: Tensor) -> tuple[Tensor, Tensor]:
    """Median and spread (1.4826 * MAD) of a scan's tissue; 0 and 1 where there is none.

    The same as `detection.hyperintensity.tissue_level`, but for a median of two middle values.
    """
    values = volume[brain]
    if not len(values):
        return volume.new_zeros(()), volume.new_ones(())
    tissue = values[values > _TISSUE * _median(values)]
    if not len(tissue):
        return volume.new_zeros(()), volume.new_ones(())
    median = _median(tissue)
    spread = _MAD_TO_SD * _median((tissue - median).abs())
    return median, torch.where(spread > 0, spread, torch.ones_like(spread))


def _median(values: Tensor) -> Tensor:
    """Lower median: on a GPU `Tensor.median` takes many times as long as sorting."""
    return values.sort().values[(len(values) - 1) // 2] if values.is_cuda else values.median()


def reader_inputs(
    volume: Tensor, brain: Tensor, reconstruction: Tensor | None, seen: Box, normal: Tensor
) -> Tensor:
    """Robust z, residual in robust z, what is reconstructed, what is normal: float32, (4, X, Y, Z).

    All are in units of 4 robust z but the third, which is 0 or 1. The volume (X, Y, Z) is in
    [0, 1]; the reconstruction is that of `seen` alone, the part of the grid that the VAE sees (None
    if there is none); `normal` is how bright grey matter normally is (robust z).
    """
    median, spread = tissue_level(volume, brain)
    z = ((volume - median) / spread).clamp(LOWEST, HIGHEST)
    z = torch.where(brain, z, torch.full_like(z, LOWEST))
    known, residual = torch.zeros_like(z), torch.zeros_like(z)
    if reconstruction is not None:
        known[seen] = brain[seen].float()
        difference = (volume[seen] - reconstruction) / spread
        residual[seen] = difference.clamp(LOWEST, HIGHEST) * known[seen]
    return torch.stack([z / UNIT, residual / UNIT, known, normal / UNIT])
