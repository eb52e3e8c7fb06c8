"""Variational autoencoders of the paper: spatial or dense bottleneck, 2D or 3D."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uadbids.model.config import VAEConfig

_SLOPE = 0.1
# exp(+-10) is far beyond any useful spread, but keeps exp() finite in half precision.
_LOGVAR_RANGE = (-10.0, 10.0)
# The paper does not say how its dense layers stay small: 16 channels after a 1x1 convolution.
_SQUEEZED = 16


class VAEOutput(NamedTuple):
    """What one pass gives."""

    reconstruction: Tensor  # shape of the input; linear (not clamped) values
    mean: Tensor  # (B, latent) or (B, latent, *code_shape), of the Gaussian code
    logvar: Tensor  # of the same shape, in [-10, 10]


class VAE(nn.Module):
    """Variational autoencoder of section 2.3 of the paper.

    The encoder has four stride-2 convolutions of kernel 3 and two layers for mean and
    log-variance; the decoder mirrors it with one layer and four upsampling convolutions.
    Transposed convolutions of kernel 4 and stride 2 cover every output voxel equally often,
    which avoids the checkerboard of kernel 3.

    Parameters of the packaged configurations (``MODELS``), in millions, and shapes of the code:
    spatial2d 0.49, (64, 10, 12); spatial3d 1.65, (64, 10, 12, 5); dense2d 1.75, (256,);
    dense3d 8.37, (256,).
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        down, up = _CONV[config.dims], _CONV_UP[config.dims]
        widths, mirrored = (1, *config.channels), config.channels[::-1]
        self.encoder = nn.Sequential(
            *(_activated(down(a, b, 3, stride=2, padding=1), b) for a, b in pairwise(widths))
        )
        head = _spatial_head if config.bottleneck == "spatial" else _dense_head
        self.to_mean, self.to_logvar, self.from_code = head(config)
        self.decoder = nn.Sequential(
            *(_activated(up(a, b, 4, stride=2, padding=1), b) for a, b in pairwise(mirrored)),
            up(mirrored[-1], 1, 4, stride=2, padding=1),
        )

    def forward(self, x: Tensor, generators: Sequence[torch.Generator] = ()) -> VAEOutput:
        """Encode, draw a code (in training) or take its mean (in evaluation), decode.

        Intensities of ``x``, (B, 1, *config.shape), are about [0, 1]; ValueError for another shape.
        Generators, on the device of ``x``, each draw for an equal share of the batch, so that a
        code does not depend on what else is in the batch.
        """
        if tuple(x.shape[1:]) != (1, *self.config.shape):
            raise ValueError(f"Expected (B, 1, *{self.config.shape}), got {tuple(x.shape)}.")
        features = self.encoder(x)
        mean = self.to_mean(features)
        logvar = self.to_logvar(features).clamp(*_LOGVAR_RANGE)
        code = _draw(mean, logvar, generators) if self.training else mean
        return VAEOutput(self.decoder(self.from_code(code)), mean, logvar)


_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_CONV_UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _draw(mean: Tensor, logvar: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    shares: Sequence[torch.Generator | None] = generators or (None,)
    shape = (len(mean) // len(shares), *mean.shape[1:])
    noise = torch.cat(
        [torch.randn(shape, generator=g, device=mean.device, dtype=mean.dtype) for g in shares]
    )
    return mean + noise * torch.exp(0.5 * logvar)


def _activated(layer: nn.Module, channels: int) -> nn.Sequential:
    # Batches are small, so groups of channels are normalised, not batches (docs/method.md, 4).
    norm = nn.GroupNorm(math.gcd(8, channels), channels)
    return nn.Sequential(layer, norm, nn.LeakyReLU(_SLOPE, inplace=True))


def _spatial_head(config: VAEConfig) -> Sequence[nn.Module]:
    conv, deepest = _CONV[config.dims], config.channels[-1]
    return (
        conv(deepest, config.latent, 3, padding=1),
        conv(deepest, config.latent, 3, padding=1),
        _activated(conv(config.latent, deepest, 3, padding=1), deepest),
    )


def _dense_head(config: VAEConfig) -> Sequence[nn.Module]:
    conv, deepest = _CONV[config.dims], config.channels[-1]
    length = _SQUEEZED * math.prod(config.code_shape)

    def squeezed() -> nn.Sequential:
        return nn.Sequential(
            _activated(conv(deepest, _SQUEEZED, 1), _SQUEEZED),
            nn.Flatten(),
            nn.Linear(length, config.latent),
        )

    expanded = nn.Sequential(
        nn.Linear(config.latent, length),
        nn.Unflatten(1, (_SQUEEZED, *config.code_shape)),
        _activated(conv(_SQUEEZED, deepest, 1), deepest),
    )
    return squeezed(), squeezed(), expanded


def as_images(config: VAEConfig, x: Tensor) -> Tensor:
    """Volumes (B, 1, X, Y, Z) as a model wants them: whole in 3D, slices (B * Z, 1, X, Y) in 2D."""
    return x if config.dims == 3 else x.movedim(-1, 1).flatten(0, 1)
