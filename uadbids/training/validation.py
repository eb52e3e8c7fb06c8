"""How well a model gives held-out scans back, and how much of its code it uses."""

from collections.abc import Sequence

import torch

from uadbids.model.vae import VAE, as_images
from uadbids.training.distributed import World
from uadbids.training.losses import ACTIVE_NATS, kl_per_unit
from uadbids.training.samples import Sample, as_batch


@torch.no_grad()
def validate(model: VAE, samples: Sequence[Sample], world: World) -> tuple[float, int]:
    """Error inside the brain and active units, from clean inputs and mean codes.

    The mean absolute error, averaged over the samples (at least one; each process takes its part),
    and the number of latent units with more than `ACTIVE_NATS`. The model is left in evaluation
    mode.
    """
    model.eval()
    config = model.config
    code = config.code_shape if config.bottleneck == "spatial" else ()
    kl = torch.zeros((config.latent, *code), device=world.device)
    error = torch.zeros(1, device=world.device)
    for sample in samples[world.rank :: world.size]:
        batch = as_batch(sample, world.device)
        inputs = as_images(config, batch.volume)
        output = model(inputs)
        inside = as_images(config, batch.mask * batch.weight) > 0
        error += (output.reconstruction - inputs).abs()[inside].mean()
        kl += kl_per_unit(output.mean, output.logvar)
    # Sums of all processes: they must agree on which epoch was the best.
    mean_kl = world.add(kl) / len(samples)
    return float(world.add(error)) / len(samples), int((mean_kl > ACTIVE_NATS).sum())
