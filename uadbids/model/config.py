"""Architecture and training settings as plain values: cards are read without torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

Bottleneck = Literal["spatial", "dense"]
Reduction = Literal["mean", "sum"]
Schedule = Literal["cosine", "constant"]
ResidualKind = Literal["positive", "signed", "abs", "excess-z", "tfce", "reader"]
Range = tuple[float, float]
# Far beyond any network that fits a machine, and small enough for torch to count its weights.
WIDEST = 2**16


@dataclass(frozen=True)
class VAEConfig:
    """Everything that fixes the architecture of a VAE (paper, section 2.3).

    ValueError if the values do not describe a network.
    """

    dims: int  # 2 (each axial slice is an image) or 3
    bottleneck: Bottleneck  # code kept as a feature map, or squeezed into one vector
    shape: tuple[int, ...]  # input size in voxels, ``dims`` multiples of ``2 ** len(channels)``
    # Feature maps after each halving of the encoder; the decoder mirrors them.
    channels: tuple[int, ...] = (16, 32, 64, 128)
    latent: int = 256  # channels of a spatial code or length of a dense one

    def __post_init__(self) -> None:
        if self.dims not in (2, 3) or len(self.shape) != self.dims:
            raise ValueError(f"dims must be 2 or 3 and match the shape: {self}.")
        if self.bottleneck not in get_args(Bottleneck):
            raise ValueError(f"bottleneck must be 'spatial' or 'dense': {self}.")
        widths = (*self.channels, self.latent)
        if not self.channels or not all(1 <= width <= WIDEST for width in widths):
            raise ValueError(f"channels and latent must lie between 1 and {WIDEST}: {self}.")
        factor = 2 ** len(self.channels)
        if any(size < factor or size % factor for size in self.shape):
            raise ValueError(f"Every size of the shape must be a multiple of {factor}: {self}.")

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Spatial size of the feature maps at the bottleneck."""
        return tuple(size // 2 ** len(self.channels) for size in self.shape)


@dataclass(frozen=True)
class ReaderConfig:
    """Everything that fixes the architecture of a reader (`reader.Reader`).

    ValueError if the values do not describe a network.
    """

    inputs: int = 4  # channels of `reader_inputs.reader_inputs`
    # Feature maps at each level; the resolution is halved between levels.
    widths: tuple[int, ...] = (16, 32, 64, 128)
    flat: int = 1  # number of levels, from the finest, whose kernels span one slice

    def __post_init__(self) -> None:
        if not 2 <= len(self.widths) <= 8 or not all(1 <= w <= WIDEST for w in self.widths):
            raise ValueError(f"A reader needs 2 to 8 widths from 1 to {WIDEST}: {self}.")
        if not 1 <= self.inputs <= WIDEST or not 0 <= self.flat <= len(self.widths):
            raise ValueError(f"inputs or flat are out of range: {self}.")


# 64 latent channels when spatial, 256 values when dense; 80 slices, because four
# halvings of the paper's 75 do not come out even.
MODELS: Mapping[str, VAEConfig] = MappingProxyType(
    {
        "spatial2d": VAEConfig(2, "spatial", (160, 192), latent=64),
        "spatial3d": VAEConfig(3, "spatial", (160, 192, 80), latent=64),
        "dense2d": VAEConfig(2, "dense", (160, 192), latent=256),
        "dense3d": VAEConfig(3, "dense", (160, 192, 80), latent=256),
    }
)
"""The four networks of the paper's table 1, on the 160x192x80 crop."""


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of every change; 0 (or an empty range) turns one off."""

    flip: float = 0.5  # probability of a left-right flip
    rotation: float = 6.0  # largest angle about each axis (degrees)
    translation: float = 4.0  # largest shift (mm)
    scale: float = 0.06  # largest relative change of size
    elastic: float = 1.2  # standard deviation of the smooth displacement (mm)
    gamma: float = 0.15  # standard deviation of the log exponent
    bias: float = 0.06  # standard deviation of the log multiplicative field
    thick_probability: float = 0.5  # of thick slices
    thick: Range = (1.0, 6.0)  # slice thickness (mm)
    in_plane: Range = (1.0, 1.6)  # voxel size in plane (mm)
    noise: float = 0.04  # largest standard deviation, relative to the brain's median
    corruption_probability: float = 0.9  # that an input is corrupted at all
    corruption_scale: Range = (3.0, 40.0)  # sizes (mm)
    corruption_strength: Range = (0.1, 0.8)  # amplitudes relative to the brain's median


@dataclass(frozen=True)
class TrainConfig:
    """How to train; with the data and the seed it fixes the result.

    ValueError if the numbers of steps do not divide, or a number is not positive.
    """

    steps: int = 10_000  # optimiser steps in all, a multiple of ``epoch_steps``
    # Between two validations, a multiple of ``period``: beta is 1 at each of them.
    epoch_steps: int = 250
    batch_size: int = 1  # volumes per step, of all processes together; 2D sees all their slices
    learning_rate: float = 1e-3  # of Adam, at its highest
    schedule: Schedule = "cosine"  # of the learning rate after 100 steps of warm-up
    kl_reduction: Reduction = "mean"  # see `losses.kl_divergence`
    period: int = 50  # T of equation 2
    window: int = 10  # L of equation 2
    gradient_norm: float = 5.0  # gradients are clipped to this length
    seed: int = 0  # of order, augmentation, corruption and codes
    bf16: bool = True  # autocast to bfloat16
    corruption: bool = True  # corrupt the inputs; targets stay clean
    checkpoint_every: int = 250  # steps between two checkpoints
    # Epochs without a lower error of held-out scans; None: never stop early.
    patience: int | None = None
    # None for neither augmentation nor corruption.
    augment: AugmentConfig | None = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if self.epoch_steps % self.period or self.steps % self.epoch_steps or self.steps < 1:
            raise ValueError(
                f"steps ({self.steps}) must be a multiple of epoch_steps ({self.epoch_steps}), "
                f"and that a multiple of period ({self.period})."
            )
        if self.batch_size < 1 or (self.patience is not None and self.patience < 1):
            raise ValueError("batch_size and patience must be at least 1.")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule must be 'cosine' or 'constant', not {self.schedule!r}.")


@dataclass(frozen=True)
class DetectionConfig:
    """How a reconstruction becomes findings, unless the user asks otherwise.

    ValueError if a value is out of range.
    """

    # Chosen on development cases (docs/results.md): the highest mean Dice among those with less
    # than 1 mL of false positives on healthy-looking scans.
    residual: ResidualKind = "tfce"  # that was calibrated; see `residuals.RESIDUALS`
    smoothing_mm: float = 0.8  # standard deviation of the Gaussian on the residual
    erosion_mm: float = 2.0  # depth by which the brain mask is eroded before it is examined
    min_volume_mm3: float = 10.0  # smallest finding
    false_positive_rate: float = 0.005  # fraction of healthy voxels above the default threshold

    def __post_init__(self) -> None:
        if self.residual not in get_args(ResidualKind):
            raise ValueError(f"residual must be one of {', '.join(get_args(ResidualKind))}.")
        sizes = (self.smoothing_mm, self.erosion_mm, self.min_volume_mm3)
        if not all(0 <= size < math.inf for size in sizes):
            raise ValueError("smoothing_mm, erosion_mm and min_volume_mm3 must not be negative.")
        if not 0 < self.false_positive_rate < 1:
            raise ValueError("false_positive_rate must lie between 0 and 1.")
