"""A pack of the reader's training that is small enough for tests."""

import numpy as np
import torch

from uadbids.model.bundle import Bundle, Card, save_bundle
from uadbids.model.calibration import calibrate
from uadbids.model.config import DetectionConfig, VAEConfig
from uadbids.model.grid import Crop
from uadbids.model.vae import VAE
from uadbids.synthesis.tissues import NAMES
from uadbids.training.lesion_painting import LesionMasks
from uadbids.training.lesion_shapes import LesionShapes, PackedMasks
from uadbids.training.reader_pack import ReaderPack
from uadbids.training.samples import Sample

SHAPE = (48, 48, 32)
SEEN = (slice(0, 48), slice(0, 48), slice(8, 24))
NETWORK = VAEConfig(3, "dense", (48, 48, 16), channels=(4, 8), latent=8)


def radius(shape=SHAPE, stretch=(1.0, 1.0, 1.3)):
    axes = [(torch.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, stretch, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).norm(dim=-1)


def tissue_map():
    """Shells of skin, bone, fluid, cortex, white matter; a nucleus; ventricles."""
    reach, tissue = radius(), torch.zeros(SHAPE, dtype=torch.uint8)
    for name, within in (
        ("skin", 23), ("bone", 22), ("fluid", 20.5), ("cortex", 19), ("white", 16),
        ("thalamus", 7), ("ventricle", 4.5), ("lower ventricles", 1.5),
    ):  # fmt: skip
        tissue[reach < within] = NAMES.index(name)
    return tissue


def scan():
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    reach = radius()
    mask = reach < 20
    volume = (102 * (1 + 0.04 * noise) * (1 - 0.8 * (reach < 4.5)) * mask).clamp(0, 255)
    weight = torch.ones(SHAPE, dtype=torch.bool)
    weight[12:15, 20:24, 14:18] = False
    return Sample(volume.to(torch.uint8), mask, weight)


def single_slice():
    volume, mask, weight = (part[..., 16] for part in scan())
    return Sample(volume, mask, weight)


def lesion_masks():
    cube, plate = np.ones((3, 3, 3), np.uint8), np.ones((5, 4, 2), np.uint8)
    bits = [np.packbits(mask) for mask in (cube, plate)]
    shapes = LesionShapes.of(
        np.concatenate(bits), np.array([len(b) for b in bits]), np.array([(3, 3, 3), (5, 4, 2)])
    )
    stroke = np.zeros(SHAPE, np.uint8)
    stroke[30:38, 18:28, 12:20] = 1
    return LesionMasks(shapes, PackedMasks(np.packbits(stroke)[None], SHAPE))


def pack():
    near_ventricles = torch.exp(-((radius() - 9) ** 2) / 20)
    normal = 2.0 * ((radius() > 16) & (radius() < 19))
    return ReaderPack(
        tissue_map()[None], (scan(),), (1.0,), (single_slice(),), near_ventricles,
        normal, lesion_masks(), start=(61, 78, 69),
    )  # fmt: skip


def arrays():
    """What `write_pack` takes, of the same pack."""
    small = pack()
    shapes = small.lesions.small
    volume, mask, weight = (part.numpy()[None] for part in scan())
    plane, inside, normal = (part.numpy()[None] for part in single_slice())
    return {
        "heads": tissue_map().numpy()[None], "scans": volume, "scan_masks": mask,
        "scan_weights": weight, "scan_chances": np.ones(1), "slices": plane,
        "slice_masks": inside, "slice_weights": normal, "frequency": small.frequency.numpy(),
        "normal": small.normal.numpy(), "start": np.array(small.start), "bits": shapes.bits,
        "strokes": small.lesions.strokes.mask(0).numpy()[None],
        "length": np.diff(shapes.starts), "shape": shapes.sizes,
    }  # fmt: skip


def small_bundle(folder):
    """Write the bundle of a VAE that sees a part of the pack."""
    calibration = calibrate([np.linspace(0.0, 0.2, 5000)])
    x, y, z = pack().start
    card = Card(
        name="small", config=NETWORK, crop=Crop((x, y, z + 8), NETWORK.shape), preproc={},
        detection=DetectionConfig(residual="positive"), template_sha256="a" * 64, training={},
        calibration=calibration.to_dict(), results={}, limits=(), license="none",
    )  # fmt: skip
    save_bundle(Bundle(card, vae(), calibration), folder)


def vae():
    torch.manual_seed(0)
    return VAE(NETWORK).eval()
