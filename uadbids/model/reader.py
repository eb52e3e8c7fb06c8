"""The reader: a U-Net that parts lesions from what is merely bright (docs/decisions/reader.md).

It is flat at full resolution, where slices are thick and memory is short, and volumetric below.
"""

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from uadbids.model.config import ReaderConfig

# Lesions are rare: the untrained network says so.
_FIRST_BIAS = -4.0
SLOPE = 0.1
"""Of leaky rectification, below zero."""


class Reader(nn.Module):
    """Segment lesions in a scan beside its reconstruction."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        kernels = [(3, 3, 1 if n < config.flat else 3) for n in range(len(config.widths))]
        self.enc, self.dec, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = config.inputs
        for wide, kernel in zip(config.widths, kernels, strict=True):
            self.enc.append(nn.Sequential(_block(width, wide, kernel), _block(wide, wide, kernel)))
            width = wide
        for wide, kernel in list(zip(config.widths, kernels, strict=True))[-2::-1]:
            self.up.append(nn.Conv3d(width, wide, 1))
            self.dec.append(
                nn.Sequential(_block(2 * wide, wide, kernel), _block(wide, wide, kernel))
            )
            width = wide
        self.head = nn.Conv3d(width, 1, 1)
        nn.init.constant_(self.head.bias, _FIRST_BIAS)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of lesion, (B, X, Y, Z), from inputs (B, C, X, Y, Z).

        Sizes must be multiples of 2 to the power of the number of widths less one.
        """
        skips: list[Tensor] = []
        for level, encode in enumerate(self.enc):
            x = encode(F.max_pool3d(x, 2) if level else x)
            skips.append(x)
        for up, decode, skip in zip(self.up, self.dec, skips[-2::-1], strict=True):
            x = F.interpolate(pointwise(up, x), scale_factor=2.0, mode="nearest")
            x = decode(torch.cat([x, skip], 1))
        return pointwise(self.head, x)[:, 0]


def pointwise(convolution: nn.Module, x: Tensor) -> Tensor:
    """Convolve by a 1x1x1 kernel: as a matrix product, which keeps channels last, on a CPU."""
    kernel = cast(nn.Conv3d, convolution)
    return F.linear(x.movedim(1, -1), kernel.weight.flatten(1), kernel.bias).movedim(-1, 1)


def _block(before: int, after: int, kernel: tuple[int, int, int]) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(before, after, kernel, padding=padding, bias=False),
        nn.BatchNorm3d(after, momentum=0.02),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
