"""Draws of a sample from one seed: single numbers on the CPU, fields on the device.

Reading a single number from a GPU waits for all that runs there; hence two generators.
"""

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from uadbids.model.config import Range
from uadbids.synthesis.coordinates import rotation, turned
from uadbids.synthesis.random_fields import normal, smooth_field

Shape = Sequence[int]


class Draws:
    """Random numbers and fields; the same seed gives the same, whatever was drawn elsewhere.

    The seed is any text, such as the seed of a training and the number of a sample; fields are
    drawn on the device.
    """

    def __init__(self, seed: str, device: torch.device) -> None:
        self._numbers = random.Random(seed)
        self.generator = torch.Generator(device).manual_seed(self._numbers.getrandbits(63))
        # With its number, as tensors have it.
        self.device = torch.empty(0, device=device).device

    def between(self, limits: Range) -> float:
        """Draw a number, uniform between two limits."""
        return self._numbers.uniform(*limits)

    def log_between(self, limits: Range) -> float:
        """Draw a positive number whose logarithm is uniform between those of two limits."""
        low, high = limits
        return math.exp(self._numbers.uniform(math.log(low), math.log(high)))

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> float:
        """Draw a number from a normal distribution."""
        return self._numbers.gauss(mean, sd)

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return self._numbers.random() < probability

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return self._numbers.randint(low, high)

    def weighted(self, weights: Sequence[float]) -> int:
        """Draw a place in a sequence of weights."""
        return self._numbers.choices(range(len(weights)), weights)[0]

    def shuffle(self, items: list[tuple[int, int, int]]) -> None:
        """Bring a list into random order."""
        self._numbers.shuffle(items)

    def noise(self, shape: Shape) -> Tensor:
        """Draw a tensor from the standard normal distribution."""
        return normal(shape, self.generator)

    def fields(self, count: int, shape: Shape, step: float) -> Tensor:
        """Draw smooth fields of unit standard deviation, (count, X, Y, Z)."""
        drawn = smooth_field((1, count, *shape), step, self.generator)[0]
        return drawn / drawn.std().clamp_min(1e-6)

    def field(self, shape: Shape, step: float) -> Tensor:
        """Draw one smooth field (X, Y, Z), with its knots `step` voxels apart."""
        return self.fields(1, shape, step)[0]

    def mirrored(self, shape: Shape, step: float) -> Tensor:
        """Draw a field that is often the same on both sides, as normal brightness is."""
        field = self.field(shape, step)
        return (field + field.flip(0)) * math.sqrt(0.5) if self.chance(0.6) else field

    def pose(
        self, shape: Shape, *, turn: Sequence[float], size: Range, flip: float, shift: float
    ) -> Tensor:
        """Draw where to look on a grid for another pose, (X, Y, Z, 3) in voxels.

        Standard deviations of the angles about x, y and z (degrees) and of the shift along each
        axis; relative size along each axis; probability of a left-right flip.
        """
        linear = rotation(*(self.normal(0, sd) for sd in turn))
        linear = linear @ torch.diag(torch.tensor([1 / self.between(size) for _ in range(3)]))
        if self.chance(flip):
            linear[:, 0] *= -1
        move = torch.tensor([self.normal(0, shift) for _ in range(3)])
        return turned(shape, linear, move, self.device)

    def places(self, density: Tensor, count: int) -> list[tuple[int, int, int]]:
        """Draw voxels of (X, Y, Z) in proportion to a density of 0 or more; none where it is 0."""
        steps = torch.cumsum(density.flatten().double(), 0)
        if count < 1 or not steps[-1] > 0:
            return []
        at = torch.rand(count, generator=self.generator, device=self.device, dtype=torch.float64)
        found = torch.searchsorted(steps, at * steps[-1], right=True).clamp_max(len(steps) - 1)
        _, y, z = density.shape
        return [(i // (y * z), i // z % y, i % z) for i in found.tolist()]
