"""The reader in use: the same values as `Reader` in evaluation mode, sooner on a CPU."""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from uadbids.model.reader import SLOPE, Reader, pointwise

# Slices; an even number, as the next level has half of them.
_SLAB = 4


class _Convolution(NamedTuple):
    kernel: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        depth, *padding = (n // 2 for n in self.kernel.shape[2:])
        if depth:
            return F.conv3d(x, self.kernel, self.bias, padding=[depth, *padding])
        # Slice by slice: of volumes with few slices PyTorch has a slow way only.
        slices = x.transpose(1, 2).flatten(0, 1)
        found = F.conv2d(slices, self.kernel[:, :, 0], self.bias, padding=padding)
        return found.unflatten(0, (len(x), -1)).transpose(1, 2)


class _Decoder(NamedTuple):
    """A level on the way up: `first` sees the skip connection, `upsampling` what is below."""

    up: nn.Module
    upsampling: Tensor
    first: _Convolution
    second: _Convolution

    def __call__(self, x: Tensor, skip: Tensor) -> Tensor:
        padding = [n // 2 - 1 for n in self.upsampling.shape[2:]]
        below = F.conv_transpose3d(
            pointwise(self.up, x), self.upsampling, stride=2, padding=padding
        )
        return _activated(self.second(_activated(self.first(skip).add_(below))))


class FoldedReader:
    """A reader with batch normalisation and upsampling in its kernels.

    A convolution of values that were copied to twice the size is a transposed convolution of the
    values themselves: fewer products, and nothing to write out and join. Inside, axes are in the
    order Z, X, Y: flat kernels then find their slices in one piece of memory.
    """

    def __init__(self, reader: Reader) -> None:
        self.enc = [[_folded(block) for block in level.children()] for level in reader.enc]
        self.dec: list[_Decoder] = []
        for up, level in zip(reader.up, reader.dec, strict=True):
            first, second = level.children()
            kernel, bias = _folded(first)
            below, skip = kernel.chunk(2, dim=1)
            joined = _Convolution(_channels_last(skip), bias)
            self.dec.append(_Decoder(up, _with_upsampling(below), joined, _folded(second)))
        self.head = reader.head
        self.flat = reader.config.flat > 0

    def __call__(self, x: Tensor) -> Tensor:
        """Logits of lesion, (B, X, Y, Z), from inputs (B, C, X, Y, Z), as `Reader.forward`."""
        finest = [_encoded(self.enc[0], _channels_last(slab)) for slab in self._slabs(x)]
        x = torch.cat([F.max_pool3d(slab, 2) for slab in finest], 2)
        skips: list[Tensor] = []
        for level, convolutions in enumerate(self.enc[1:]):
            x = _encoded(convolutions, F.max_pool3d(x, 2) if level else x)
            skips.append(x)
        *coarse, last = self.dec
        for decode, skip in zip(coarse, skips[-2::-1], strict=True):
            x = decode(x, skip)
        below = x.split([slab.shape[2] // 2 for slab in finest], 2)
        found = [
            pointwise(self.head, last(part, slab))[:, 0]
            for part, slab in zip(below, finest, strict=True)
        ]
        return torch.cat(found, 1).movedim(1, -1)

    def _slabs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut a volume into what the finest level can work through part by part.

        On a CPU a few slices stay in memory that the process keeps; what is given back and got
        again for each layer of a whole volume costs a third of the time.
        """
        x = _slices_first(x)
        return x.split(_SLAB, 2) if self.flat and x.device.type == "cpu" else (x,)


def _encoded(convolutions: list[_Convolution], x: Tensor) -> Tensor:
    for convolve in convolutions:
        x = _activated(convolve(x))
    return x


def _folded(block: nn.Module) -> _Convolution:
    """Convolution of a block in evaluation mode, with its normalisation."""
    convolution, normalisation, _ = block.children()
    fused = nn.utils.fuse_conv_bn_eval(
        cast(nn.Conv3d, convolution), cast(nn.BatchNorm3d, normalisation)
    )
    kernel, bias = fused.weight.detach(), cast(Tensor, fused.bias).detach()
    return _Convolution(_channels_last(_slices_first(kernel)), bias)


def _with_upsampling(kernel: Tensor) -> Tensor:
    """Kernel of a transposed convolution of stride 2: of what is copied to twice the size."""
    outputs, inputs = kernel.shape[:2]
    # In the transposed direction a kernel is turned round, and each value counts twice an axis.
    turned = kernel.flip(2, 3, 4).flatten(0, 1)[:, None]
    spread = F.conv3d(turned, turned.new_ones(1, 1, 2, 2, 2), padding=1)
    return spread.unflatten(0, (outputs, inputs))[:, :, 0].transpose(0, 1).contiguous()


def _slices_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)


def _activated(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, SLOPE)
