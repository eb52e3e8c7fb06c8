"""Compare ways to train, at 2 mm, on the development cases; print one table.

``python benchmarks/choices.py SOURCES COHORT --work-dir WORK [--only NAME ...]``

COHORT is what ``recipes/packaged/make_cohort.py`` made, synthetic scans included.
Each model learns volumes of half the resolution, an eighth of the work; its reconstruction is
enlarged, and everything after it is done at 1 mm, as the product does.
Results are kept in the work directory, so that a second call only adds what is missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from cases import HEALTHY, SETS, Case, Cohort, arguments, read_all
from scoring import SPACING, measure
from torch import Tensor, nn

from uadbids.detection.erosion import erode
from uadbids.detection.examine import Examination, examine
from uadbids.detection.hyperintensity import robust_z
from uadbids.evaluation.baselines import equalised
from uadbids.model.config import MODELS, AugmentConfig, DetectionConfig, TrainConfig, VAEConfig
from uadbids.model.grid import Crop
from uadbids.model.vae import VAE, VAEOutput
from uadbids.training.fit import Sample, fit
from uadbids.training.healthy import Healthy

STEPS = 750
# Every third of the largest set, which would take most of the time.
THINNED = "tumours, thick slices (lgg)"
RATES = (0.005, 0.01)
CPU = torch.device("cpu")
SLAB = Crop((5, 6, 52), (160, 192, 80))
WHOLE = Crop((5, 6, 9), (160, 192, 144))


@dataclass(frozen=True)
class Choice:
    """One way to train.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    data : {'real', 'synthetic', 'both'}
        What is learnt.
    latent : int or None
        Another size of the code.
    corruption : bool
        Corrupt inputs.
    percentile : bool
        Scale by the 99.5th percentile of the brain, not by its median.
    crop : Crop
        What is seen.
    """

    model: str = "dense3d"
    data: str = "both"
    latent: int | None = None
    corruption: bool = True
    percentile: bool = False
    crop: Crop = SLAB


CHOICES = {
    "dense3d": Choice(),
    "spatial3d": Choice("spatial3d"),
    "dense3d, real scans only": Choice(data="real"),
    "dense3d, synthetic scans only": Choice(data="synthetic"),
    "dense3d, no corruption": Choice(corruption=False),
    "dense3d, latent 64": Choice(latent=64),
    "dense3d, percentile scale": Choice(percentile=True),
    "dense3d, whole brain": Choice(crop=WHOLE),
}
KINDS = ("excess-z", "positive")


class Halved(nn.Module):
    """A 3D model that works at 2 mm, for volumes at 1 mm."""

    def __init__(self, model: VAE, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.model = model
        self.config = replace(MODELS["spatial3d"], shape=shape)

    def forward(self, x: Tensor) -> VAEOutput:
        """Reconstruct (B, 1, X, Y, Z)."""
        output = self.model(F.avg_pool3d(x, 2))
        large = F.interpolate(
            output.reconstruction, scale_factor=2.0, mode="trilinear", align_corners=False
        )
        return VAEOutput(large, output.mean, output.logvar)


def halved(scan: Healthy, crop: Crop) -> Sample:
    """Sample of a scan at 2 mm."""
    volume, mask, excluded = (
        F.avg_pool3d(torch.from_numpy(crop.apply(x).astype(np.float32))[None, None], 2)[0, 0]
        for x in (scan.volume * scan.mask, scan.mask, scan.excluded)
    )
    brain = mask > 0.5
    # A voxel at the rim is brain and background; only the brain's part is wanted.
    inside = torch.where(brain, volume / mask.clamp_min(0.5), torch.zeros(()))
    return Sample((255 * inside).round().clamp(0, 255).byte(), brain, excluded == 0)


def half_augment() -> AugmentConfig:
    """Return the default strengths, in voxels of 2 mm where they are in voxels of 1 mm."""
    full = AugmentConfig()
    return replace(
        full,
        translation=full.translation / 2,
        elastic=full.elastic / 2,
        thick=(1.0, full.thick[1] / 2),
        in_plane=(1.0, 1.1),
        corruption_scale=(full.corruption_scale[0] / 2, full.corruption_scale[1] / 2),
    )


def rescaled(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Scale to the 99.5th percentile of the brain."""
    return np.clip(volume / np.percentile(volume[mask], 99.5), 0, 1).astype(np.float32)


def train(choice: Choice, cohort: Cohort) -> VAE:
    """Train one model on half-resolution samples."""
    held_out = cohort.held_out
    both = [*cohort.real, *cohort.synthetic]
    scans = {"real": cohort.real, "synthetic": cohort.synthetic, "both": both}[choice.data]
    if choice.percentile:
        scans, held_out = (
            [replace(h, volume=rescaled(h.volume, h.mask)) for h in some]
            for some in (scans, held_out)
        )
    base = MODELS[choice.model]
    shape = tuple(size // 2 for size in choice.crop.shape)
    config = VAEConfig(
        base.dims, base.bottleneck, shape, base.channels[:3], choice.latent or base.latent
    )
    torch.manual_seed(0)
    model = VAE(config)
    settings = TrainConfig(
        steps=STEPS, batch_size=2, corruption=choice.corruption, augment=half_augment()
    )
    fit(
        model,
        [halved(h, choice.crop) for h in scans],
        [halved(h, choice.crop) for h in held_out],
        settings,
        device=CPU,
    )
    return model


def score(
    model: nn.Module, choice: Choice, kind: str, cohort: Cohort, cases: Sequence[Case]
) -> dict[str, dict[str, float]]:
    """Measure a model with one kind of residual."""
    settings = replace(DetectionConfig(), residual=kind)

    def way(volume: np.ndarray, mask: np.ndarray) -> Examination:
        seen = rescaled(volume, mask) if choice.percentile else volume
        return examine(seen, mask, model, choice.crop, settings, device=CPU)

    return measure(way, cohort.held_out, cases, settings, rates=RATES)


def baselines(cohort: Cohort, cases: Sequence[Case]) -> dict[str, dict[str, dict[str, float]]]:
    """Measure intensity alone."""
    # Intensity alone ends at the threshold.
    settings = replace(DetectionConfig(), residual="excess-z")

    def way(map_of, crop: Crop):  # noqa: ANN001, ANN202
        def apply(volume: np.ndarray, mask: np.ndarray) -> Examination:
            examined = erode(mask, settings.erosion_mm, SPACING) & crop.mask(mask.shape)
            found = np.where(examined, map_of(volume, mask), 0).astype(np.float32)
            return Examination(np.zeros_like(found), found, examined)

        return apply

    return {
        f"{name}{where}": measure(way(map_of, crop), cohort.held_out, cases, settings, rates=RATES)
        for name, map_of in (("equalised intensity", equalised), ("robust z", robust_z))
        for where, crop in (("", SLAB), (", whole brain", WHOLE))
    }


def main() -> None:
    """Read, train what is missing, measure, print."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=CHOICES, default=list(CHOICES))
    args = parser.parse_args()
    cohort, cases = read_all(args)
    kept = args.work_dir / "choices.json"
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    many = [case for case in cases if case.group == THINNED]
    cases = [case for case in cases if case.group != THINNED] + many[::3]
    print(f"{len(cohort.real)} real and {len(cohort.synthetic)} synthetic scans, {STEPS} steps")

    def keep(name: str, rows: Mapping[str, Mapping[str, float]]) -> None:
        results[name] = rows
        kept.write_text(json.dumps(results, indent=2))

    if "robust z" not in results:
        for name, rows in baselines(cohort, cases).items():
            keep(name, rows)
    for name in args.only:
        if f"{name}, {KINDS[0]}" in results:
            continue
        start = time.monotonic()
        choice = CHOICES[name]
        model = Halved(train(choice, cohort), choice.crop.shape).eval()
        print(f"trained: {name}, {time.monotonic() - start:.0f} s", flush=True)
        for kind in KINDS if name in MODELS else KINDS[:1]:
            keep(f"{name}, {kind}", score(model, choice, kind, cohort, cases))
    print_one_table(results)


def print_one_table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print Markdown: Dice at both rates and average precision by set, one row a choice."""
    sets = [group for group in (*SETS, HEALTHY) if group in results["robust z"]]
    heads = [f"{s} ({int(results['robust z'][s]['cases'])})" for s in sets]
    print("\n| | " + " | ".join(heads) + " |\n" + "|---" * (len(sets) + 1) + "|")
    for name, rows in results.items():
        cells = [
            " / ".join(f"{value:.3f}" for key, value in rows[group].items() if key != "cases")
            for group in sets
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
