"""Which losses collapse a VAE: active latent units and error for variants of equation 2.

``python benchmarks/collapse.py [SLICES]``: SLICES is an ``.npz`` with ``img`` (N, X, Y), uint8,
stripped axial slices, and ``n_overlay`` (N,), lesion voxels in each; slices without lesions are
used. Left out, brain-like pictures are made up. Prints a Markdown table; minutes on one core.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from uadbids.model.config import VAEConfig
from uadbids.model.vae import VAE, VAEOutput
from uadbids.training.losses import (
    ACTIVE_NATS,
    CollapseRobustLoss,
    cyclical_beta,
    kl_divergence,
    kl_per_unit,
)

CONFIG = VAEConfig(2, "dense", (96, 80), channels=(8, 16, 32, 64), latent=64)
STEPS, BATCH, SEED = 1000, 8, 0
"""STEPS is a multiple of the period of beta: every variant is judged at full KL weight."""
Loss = Callable[[VAEOutput, Tensor, int], Tensor]


def paper(reduction: str) -> Loss:
    """Equation 2 as the package trains with it."""
    loss = CollapseRobustLoss(kl_reduction=reduction)
    return lambda output, target, _: loss(output, target).total


def sigma_alone(reduction: str) -> Loss:
    """Divide by the moving mean, at a constant beta of 1."""
    loss = CollapseRobustLoss(kl_reduction=reduction)

    def value(output: VAEOutput, target: Tensor, _: int) -> Tensor:
        terms = loss(output, target)
        kl = kl_divergence(output.mean, output.logvar, reduction)
        return terms.total + (1.0 - terms.beta) * kl

    return value


def plain(error: str, pixels: str, reduction: str, cyclic: bool = False) -> Loss:
    """Error + beta KL, without the division by a moving mean."""

    def value(output: VAEOutput, target: Tensor, step: int) -> Tensor:
        difference = output.reconstruction - target
        each = difference.abs() if error == "L1" else 0.5 * difference.square()
        data = each.mean() if pixels == "mean" else each.flatten(1).sum(1).mean()
        beta = cyclical_beta(step) if cyclic else 1.0
        return data + beta * kl_divergence(output.mean, output.logvar, reduction)

    return value


VARIANTS: dict[tuple[str, ...], Callable[[], Loss]] = {
    ("squared / 2, sum", "sum", "1", "no"): lambda: plain("L2", "sum", "sum"),
    ("L1, sum", "sum", "1", "no"): lambda: plain("L1", "sum", "sum"),
    ("L1, mean", "sum", "1", "no"): lambda: plain("L1", "mean", "sum"),
    ("L1, mean", "mean", "1", "no"): lambda: plain("L1", "mean", "mean"),
    ("L1, mean", "mean", "cyclic", "no"): lambda: plain("L1", "mean", "mean", cyclic=True),
    ("L1, mean", "mean", "1", "yes"): lambda: sigma_alone("mean"),
    ("L1, mean", "sum", "cyclic", "yes"): lambda: paper("sum"),
    ("L1, mean", "mean", "cyclic", "yes (ours)"): lambda: paper("mean"),
}


def read_slices(path: Path) -> Tensor:
    """Slices without lesions at half the resolution, (N, 1, 96, 80) in [0, 1]."""
    with np.load(path, allow_pickle=False) as content:
        images = torch.from_numpy(content["img"][content["n_overlay"] == 0]).float()[:, None] / 255
    images = F.avg_pool2d(images, 2, ceil_mode=True)
    short = [n - m for n, m in zip(CONFIG.shape, images.shape[2:], strict=True)]
    return F.pad(images, (short[1] // 2, -(-short[1] // 2), short[0] // 2, -(-short[0] // 2)))


def make_slices(count: int = 500) -> Tensor:
    """Make up brains: ellipses of random size, dark ventricles, smooth texture."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in CONFIG.shape), indexing="ij")

    def disc(radius_x: Tensor, radius_y: Tensor) -> Tensor:
        return ((x / radius_x).square() + (y / radius_y).square() < 1).float()

    def brain() -> Tensor:
        a, b, c, d = torch.rand(4, generator=generator)
        texture = F.interpolate(
            torch.randn((1, 1, 12, 10), generator=generator),
            size=CONFIG.shape,
            mode="bilinear",
            align_corners=True,
        )[0, 0]
        inside = disc(0.75 + 0.15 * a, 0.7 + 0.15 * b)
        return inside * (0.55 + 0.08 * texture - 0.4 * disc(0.15 + 0.25 * c, 0.08 + 0.2 * d))

    return torch.stack([brain() for _ in range(count)])[:, None].clamp(0.0, 1.0)


def train(images: Tensor, loss: Loss) -> VAE:
    """Train one small dense VAE, the same way for every loss."""
    torch.manual_seed(SEED)
    model = VAE(CONFIG).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(STEPS):
        batch = images[torch.randint(len(images), (BATCH,))]
        value = loss(model(batch), batch, step)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
    return model.eval()


@torch.no_grad()
def judge(model: VAE, images: Tensor) -> tuple[int, float, float]:
    """Active units, KL in nats, and error inside the brain, of held-out slices."""
    output = model(images)
    units = kl_per_unit(output.mean, output.logvar)
    error = (output.reconstruction - images).abs()[images > 0].mean()
    return int((units > ACTIVE_NATS).sum()), float(units.sum()), float(error)


def main(path: Path | None) -> None:
    """Print one row for each loss."""
    torch.set_num_threads(1)
    images = make_slices() if path is None else read_slices(path)
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))]
    held_out, fitted = images[: len(images) // 5], images[len(images) // 5 :]
    middle = fitted.median(dim=0).values.expand_as(held_out)
    same = float((middle - held_out).abs()[held_out > 0].mean())
    print(f"{len(fitted)} slices to train on, {len(held_out)} held out; {STEPS} steps of {BATCH}.")
    print("| data term | KL | beta | moving mean | active of 64 | KL, nats | error | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for words, build in VARIANTS.items():
        started = time.process_time()
        active, nats, error = judge(train(fitted, build()), held_out)
        seconds = time.process_time() - started
        row = (*words, active, f"{nats:.2f}", f"{error:.4f}", f"{seconds:.0f}")
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(f"| the same median brain for everybody | | | | 0 | 0 | {same:.4f} | |")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
