"""Healthy backgrounds of the reader's samples, and where lesions may lie in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uadbids.model.reader_inputs import tissue_level
from uadbids.synthesis.coordinates import sample_at
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.morphology import dilate, distance, erode, near
from uadbids.synthesis.random_fields import blur, full
from uadbids.synthesis.template_head import Head
from uadbids.synthesis.tissues import is_one_of
from uadbids.training.lesion_kinds import Places
from uadbids.training.samples import Sample

# Robust z under which a voxel is fluid; within which it is white matter, or deep tissue.
_FLUID_Z, _WHITE_Z, _DEEP_Z = -2.4, 1.8, 3.0
# Fluid so deep (voxels) inside the brain mask is that of the ventricles.
_VENTRICLE_DEPTH, _SHALLOW_DEPTH = 22, 18
_FEW_VOXELS = 60
_DEEP = (
    "white", "thalamus", "caudate", "putamen", "pallidum", "brain stem", "cerebellar white",
    "ventral diencephalon",
)  # fmt: skip


@dataclass(frozen=True)
class Background:
    """A healthy volume, all of shape (X, Y, Z)."""

    image: Tensor  # float32; the brain's median is about 1
    mask: Tensor  # brain, bool
    known: Tensor  # where nothing was filled or left out, bool


def head_places(head: Head, brain: Tensor, frequency: Tensor) -> Places:
    """Where lesions may lie in a synthetic head: its tissues are known."""
    reference = 1.0  # white matter is painted so
    return Places(
        white=erode(is_one_of(head.tissue, "white"), 1),
        deep=is_one_of(head.tissue, *_DEEP),
        ventricles=is_one_of(head.tissue, "ventricle"),
        tissue=brain & (head.image > 0.55 * reference),
        brain=brain,
        frequency=frequency,
        reference=reference,
    )


def scan_places(scan: Background, frequency: Tensor, *, shallow: bool = False) -> Places:
    """Where lesions may lie in a scan, from its intensities and the depth in the brain mask.

    `frequency` (X, Y, Z) is that of `Places`; `shallow` is for a slab of equal slices, in which
    nothing lies deeper than in plane.
    """
    median, spread = tissue_level(scan.image, scan.mask)
    reference = float(median)
    z = (scan.image - reference) / spread
    fluid = (z < _FLUID_Z) & scan.mask
    ventricles = fluid & erode(scan.mask, _SHALLOW_DEPTH if shallow else _VENTRICLE_DEPTH)
    if not shallow:
        ventricles = dilate(erode(ventricles, 1), 1) & fluid
    inner = erode(scan.mask & ~(fluid & ~ventricles), 3)
    if shallow:
        inner = inner & scan.known
    else:
        inner = inner & ~dilate(ventricles, 1) & ~dilate(~scan.known, 1)
    return Places(
        white=inner & ~fluid & (z.abs() < _WHITE_Z),
        deep=erode(scan.mask & ~fluid, 2) & (z.abs() < _DEEP_Z),
        ventricles=ventricles,
        tissue=scan.mask & (scan.image > 0.55 * reference),
        brain=scan.mask,
        frequency=frequency,
        reference=reference,
    )


def another_head(scan: Sample, median: float, draws: Draws) -> Background:
    """Give a scan (uint8, even sizes) another pose and shape; its brain's median is in [0, 1]."""
    volume, mask, weight = (part.to(draws.device) for part in scan)
    shape = volume.shape
    pose = draws.pose(shape, turn=(3, 3, 3), size=(0.93, 1.07), flip=0.5, shift=2)
    elastic = draws.fields(3, [n // 2 for n in shape], draws.between((8, 16)))[None]
    elastic = draws.between((0.3, 2)) * blur(elastic, (2.0,) * 3)
    points = pose + full(elastic, shape).movedim(0, -1)
    parts = torch.stack([volume.float() / (255 * median), mask.float(), (weight < 1).float()])
    image, inside, left_out = sample_at(parts, points)
    return Background(image, inside > 0.5, left_out <= 0.05)


def single_slice(
    slices: Sequence[Sample], depth: int, thickness: int, draws: Draws
) -> tuple[Background, int]:
    """Repeat a slice through a slab, and draw where in a grid of some depth the slab begins."""
    chosen = slices[draws.whole(0, len(slices) - 1)]
    volume, mask, weight = (part.to(draws.device) for part in chosen)
    image = volume.float() / 255
    image = image / image[mask].median().clamp_min(1e-6)
    parts = [image, mask, weight > 0]
    if draws.chance(0.5):
        parts = [part.flip(0) for part in parts]
    # The plane is known roughly; it decides on usual places and brightness alone.
    low = min(round(0.425 * depth), depth - thickness)
    start = draws.whole(low, max(low, min(round(0.525 * depth), depth - thickness)))
    image, mask, known = (part[..., None].repeat(1, 1, thickness) for part in parts)
    return Background(image, mask, known), start


def brighten(image: Tensor, places: Places, draws: Draws, *, cortex_only: bool = False) -> Tensor:
    """Make cortex, the lining of the ventricles and the haze around them bright, as is normal."""
    size, reference, ventricles = image.shape, places.reference, places.ventricles
    tissue = places.brain & (places.tissue | ventricles)
    outside = ~tissue & ~ventricles
    most = 0.4 if cortex_only else 0.5
    if draws.chance(0.6):
        cortex = near(outside, draws.between((1.5, 3))) * places.tissue
        field = (0.5 + 0.6 * draws.mirrored(size, draws.between((15, 45)))).clamp(0, 2)
        image = image * (1 + draws.between((0, most)) * cortex * field)
    if cortex_only or int(ventricles.sum()) <= _FEW_VOXELS:
        return image
    if draws.chance(0.4):
        away = distance(ventricles, 4)
        lining = torch.exp(-0.5 * (away / draws.between((0.7, 1.6))) ** 2) * (away < 5)
        gain = draws.between((0, 0.3)) * reference
        image = image + gain * lining * places.tissue
    if draws.chance(0.4):
        haze = near(ventricles, draws.between((4, 9))) * places.tissue
        field = (0.8 + 0.4 * draws.mirrored(size, draws.between((10, 20)))).clamp(0, 1.6)
        image = image + draws.between((0, 0.5)) * reference * haze * field
    return image
