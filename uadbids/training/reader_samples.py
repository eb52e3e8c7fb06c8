"""Samples that the reader learns from: a background, painted lesions, a scanner, its inputs.

Three kinds of backgrounds: synthetic heads of every contrast, scans whose lesions are filled, and
single slices made thick. A sample depends on the seed and on its number alone, not on the process
that makes it, nor on whether a training was interrupted.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from uadbids.model.reader_inputs import Box, reader_inputs, tissue_level
from uadbids.model.vae import VAE, as_images
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.rescan import REAL, RescanConfig, rescan
from uadbids.synthesis.template_head import HeadConfig, make_head
from uadbids.synthesis.tissues import BRAIN, is_one_of
from uadbids.training.backgrounds import (
    another_head,
    brighten,
    head_places,
    scan_places,
    single_slice,
)
from uadbids.training.lesion_painting import (
    PaintingConfig,
    another_contrast,
    leak,
    paint_lesions,
    soft_label,
)
from uadbids.training.reader_pack import ReaderPack

BRAIN_MEDIAN = 0.4
"""Where preprocessing puts the brain's median (`preproc.intensity`)."""
# Thinner shares of a lesion are left to the background's own weight.
_SOME_LESION = 0.05
_SLAB = 16


@dataclass(frozen=True)
class SampleConfig:
    """What samples are made of."""

    head: float = 0.5  # share of synthetic heads
    scan: float = 0.27  # of lesion-excluded scans
    slices: float = 0.23  # of thick single slices
    depth: int = 128  # axial slices of a sample, a multiple of 16; where they lie is drawn
    without_reconstruction: float = 0.2  # probability that the reader has to do without
    leak: float = 0.35  # probability that the brain mask of a real scan leaks
    heads: HeadConfig = field(default_factory=HeadConfig)  # shape and contrast
    painting: PaintingConfig = field(default_factory=PaintingConfig)  # lesions
    scanner: RescanConfig = field(default_factory=RescanConfig)  # acquisition of synthetic heads
    real_scanner: RescanConfig = REAL  # of scans that have been acquired before


class ReaderSample(NamedTuple):
    """What the reader sees, and what it shall say: one volume, or several slabs of equal slices."""

    inputs: Tensor  # float16, (N, 4, X, Y, Z)
    label: Tensor  # uint8, (N, X, Y, Z); 255 where all is lesion
    # Uint8, (N, X, Y, Z); 0 where nothing is known: outside the brain, or real lesions were filled.
    weight: Tensor


class SampleMaker:
    """Makes samples by their numbers, on a device.

    The VAE reconstructs what is painted; it sees a part of the pack's grid. The seed is that of all
    samples.
    """

    def __init__(
        self,
        pack: ReaderPack,
        vae: VAE,
        seen: Box,
        config: SampleConfig,
        seed: str,
        device: torch.device,
    ) -> None:
        self._pack, self._vae, self._seen = pack, vae.to(device).eval(), seen
        self._config, self._seed, self._device = config, seed, device
        self._normal, self._frequency = pack.normal.to(device), pack.frequency.to(device)

    @torch.no_grad()
    def make(self, number: int) -> ReaderSample:
        """Make the sample of a number; on the CPU."""
        draws, config = Draws(f"{self._seed}/{number}", self._device), self._config
        kind = draws.weighted((config.head, config.scan, config.slices))
        if kind == 2:
            slabs = [self._slab(draws) for _ in range(max(1, config.depth // _SLAB))]
            parts = [torch.stack(part) for part in zip(*slabs, strict=True)]
        else:
            whole = self._head(draws) if kind == 0 else self._scan(draws)
            # Even, so that halvings of the network fall together with those of the whole volume.
            start = 2 * draws.whole(0, (self._pack.shape[2] - config.depth) // 2)
            parts = [part[None, ..., start : start + config.depth] for part in whole]
        inputs, label, weight = (part.cpu() for part in parts)
        byte = (255 * label).round().to(torch.uint8)
        return ReaderSample(inputs.half(), byte, weight.to(torch.uint8))

    def _head(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        heads, config = self._pack.heads, self._config
        tissue = heads[draws.whole(0, len(heads) - 1)].to(self._device)
        head = make_head(tissue, config.heads, draws)
        brain = is_one_of(head.tissue, *BRAIN)
        places = head_places(head, brain, self._frequency)
        painted = paint_lesions(head.image, places, self._pack.lesions, config.painting, draws)
        parts = torch.stack([painted.image, painted.share, head.mask.float()])
        image, share, inside = rescan(parts, config.scanner, draws)
        mask = inside > 0.5
        return self._finish(image, share, mask, torch.ones_like(mask), draws)

    def _scan(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        pack, config = self._pack, self._config
        chosen = pack.scans[draws.weighted(pack.scan_weights)]
        scan = another_head(chosen, BRAIN_MEDIAN, draws)
        reference = float(tissue_level(scan.image, scan.mask)[0])
        scan = replace(scan, image=another_contrast(scan.image, reference, draws))
        places = scan_places(scan, self._frequency)
        image = brighten(scan.image, places, draws)
        painted = paint_lesions(image, places, pack.lesions, config.painting, draws)
        image, mask = painted.image, scan.mask
        if draws.chance(config.leak):
            image, mask = leak(image, mask, reference, draws)
        parts = torch.stack([image, painted.share, mask.float(), scan.known.float()])
        image, share, inside, known = rescan(parts, config.real_scanner, draws)
        return self._finish(image, share, inside > 0.5, known > 0.9, draws)

    def _slab(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        pack = self._pack
        scan, start = single_slice(pack.slices, pack.shape[2], _SLAB, draws)
        reference = float(tissue_level(scan.image, scan.mask)[0])
        scan = replace(scan, image=another_contrast(scan.image, reference, draws))
        part = slice(start, start + _SLAB)
        places = scan_places(scan, self._frequency[..., part], shallow=True)
        image = brighten(scan.image, places, draws, cortex_only=True)
        # Masks of strokes are volumes, and a slab holds but a few lesions.
        lesions = replace(pack.lesions, strokes=None)
        painting = replace(self._config.painting, most=8)
        painted = paint_lesions(image, places, lesions, painting, draws)
        thickness = draws.whole(1, 6)
        first = draws.whole(2, _SLAB - thickness - 2)
        thick = slice(first, first + thickness)
        image, share = (x[..., thick].mean(-1, keepdim=True) for x in painted)
        plane = (*image.shape[:2], 2)
        field = draws.field(plane, draws.between((35, 90)))[..., :1]
        image = image * torch.exp(draws.between((0, 0.07)) * field)
        image = image + draws.log_between((0.008, 0.06)) * draws.noise(image.shape)
        image, share = (x.expand(-1, -1, _SLAB) for x in (image, share))
        volume = _scaled(image, scan.mask)
        inputs = reader_inputs(volume, scan.mask, None, self._seen, self._normal[..., part])
        return _labelled(inputs, share, scan.mask, scan.known)

    def _finish(
        self, image: Tensor, share: Tensor, mask: Tensor, known: Tensor, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scale as preprocessing does, reconstruct, and make inputs, label and weight."""
        volume = _scaled(image, mask)
        reconstruction = None
        if not draws.chance(self._config.without_reconstruction):
            reconstruction = self._reconstruct(volume[self._seen])
        inputs = reader_inputs(volume, mask, reconstruction, self._seen, self._normal)
        return _labelled(inputs, share, mask, known)

    def _reconstruct(self, part: Tensor) -> Tensor:
        network = self._vae.config
        with torch.autocast(part.device.type, torch.bfloat16, enabled=part.is_cuda):
            output = self._vae(as_images(network, part[None, None])).reconstruction
        output = output.float().clamp(0, 1)[:, 0]
        return output[0] if network.dims == 3 else output.movedim(0, -1)


def _labelled(
    inputs: Tensor, share: Tensor, mask: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    weight = mask & (known | (share > _SOME_LESION))
    return inputs, soft_label(share) * mask, weight


def _scaled(image: Tensor, mask: Tensor) -> Tensor:
    values = image[mask]
    # A part of the voxels gives the median to a fraction of a percent.
    median = values[:: max(1, len(values) // 200_000)].median().clamp_min(1e-6)
    scaled = (image / median * BRAIN_MEDIAN).clamp(0, 1)
    return torch.where(mask, scaled, torch.zeros_like(scaled))
