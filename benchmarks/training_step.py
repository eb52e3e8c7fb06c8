"""Time and memory of one training step of each network, beside the network alone.

``python benchmarks/training_step.py [--device cuda] [--threads 1]``. *Network* is a forward and a
backward pass over a batch that is there already; a step adds the batch, the loss and the optimiser.
On the CPU times are CPU seconds, which other programs on the machine change less than wall time;
each network has a process of its own.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import torch

from uadbids.model.config import MODELS, TrainConfig
from uadbids.model.vae import VAE, as_images
from uadbids.training.distributed import World
from uadbids.training.fit import fit, uses_bfloat16
from uadbids.training.samples import Sample, draw_batch

SHAPE = (160, 192, 80)
CONFIG = TrainConfig(steps=20, epoch_steps=4, period=4, checkpoint_every=100)
PASSES = 5


class Step(NamedTuple):
    """Seconds of a step, of the network alone and of the batch alone, and peak memory in GB."""

    step: float
    network: float
    batch: float
    memory_gb: float


def ball() -> Sample:
    """Make up a brain of about the size of a real one."""
    axes = (torch.linspace(-1.15, 1.15, n) for n in SHAPE)
    mask = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0) < 1
    volume = (0.4 + 0.3 * torch.rand(SHAPE)) * mask
    return Sample((255 * volume).to(torch.uint8), mask, torch.ones(SHAPE, dtype=torch.uint8))


def measure(name: str, device: str, threads: int) -> Step:
    """Measure one network; medians, the first of everything left out."""
    torch.set_num_threads(threads)
    place, samples = torch.device(device), [ball()]

    def now() -> float:
        if place.type == "cuda":
            torch.cuda.synchronize(place)
            return time.monotonic()
        return time.process_time()

    def median(body: Callable[[int], object]) -> float:
        marks = [now()]
        for number in range(PASSES):
            body(number)
            marks.append(now())
        return statistics.median(after - before for before, after in list(pairwise(marks))[1:])

    model = VAE(MODELS[name]).to(place).train()
    seen = draw_batch(samples, 0, CONFIG, World(place)).seen
    batch = median(lambda step: draw_batch(samples, step, CONFIG, World(place)))

    def passes(_: int) -> None:
        with torch.autocast(place.type, torch.bfloat16, enabled=uses_bfloat16(CONFIG, place)):
            output = model(as_images(model.config, seen))
        (output.reconstruction.float().mean() + output.mean.float().mean()).backward()

    network = median(passes)
    marks = [now()]
    # An epoch of four steps ends with a look at one scan, counted in.
    fit(model, samples, [], CONFIG, device=place, on_epoch=lambda _: marks.append(now()))
    steps = [(after - before) / CONFIG.epoch_steps for before, after in pairwise(marks)][1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    if place.type == "cuda":
        peak = torch.cuda.max_memory_allocated(place) / 1024**3
    return Step(statistics.median(steps), network, batch, peak)


def main() -> None:
    """Print one row for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    print("| model | step, s | network, s | step / network | batch / step | peak memory, GB |")
    print("|---" * 6 + "|")
    spawn = multiprocessing.get_context("spawn")
    for name in MODELS:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            found = pool.submit(measure, name, args.device, args.threads).result()
        print(
            f"| {name} | {found.step:.3f} | {found.network:.3f} | {found.step / found.network:.2f} "
            f"| {found.batch / found.step:.2f} | {found.memory_gb:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
