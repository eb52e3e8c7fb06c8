"""Time and memory of one training step of each network, on one thread of the CPU.

``python benchmarks/training_step.py``. Times are CPU seconds, which other programs on the machine
change less than wall time; each network has a process of its own.
"""

import multiprocessing
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import torch

from uadbids.core.batches import draw_batch
from uadbids.core.config import MODELS, TrainConfig
from uadbids.core.distributed import World
from uadbids.core.models import VAE
from uadbids.core.samples import Sample
from uadbids.core.training import fit

SHAPE = (160, 192, 80)
CONFIG = TrainConfig(steps=12, epoch_steps=4, period=4, checkpoint_every=100)


def ball() -> Sample:
    """Make up a brain of about the size of a real one."""
    axes = (torch.linspace(-1.15, 1.15, n) for n in SHAPE)
    mask = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0) < 1
    volume = (0.4 + 0.3 * torch.rand(SHAPE)) * mask
    return Sample((255 * volume).to(torch.uint8), mask, torch.ones(SHAPE, dtype=torch.uint8))


def measure(name: str) -> tuple[float, float, float]:
    """CPU seconds of a step and of making its batch, and peak memory in GB."""
    torch.set_num_threads(1)
    samples, batches = [ball()], []
    for step in range(10):
        started = time.process_time()
        draw_batch(samples, step, CONFIG, World(torch.device("cpu")))
        batches.append(time.process_time() - started)
    marks = [time.process_time()]
    fit(
        VAE(MODELS[name]),
        samples,
        [],
        CONFIG,
        device="cpu",
        on_epoch=lambda _: marks.append(time.process_time()),
    )
    # An epoch of four steps ends with a look at one scan, counted in.
    steps = [(after - before) / 4 for before, after in pairwise(marks)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return statistics.median(steps), statistics.median(batches), peak


def main() -> None:
    """Print one row for each network."""
    print("| model | step, s | of it the batch, s | peak memory, GB |\n|---|---|---|---|")
    spawn = multiprocessing.get_context("spawn")
    for name in MODELS:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            step, batch, peak = pool.submit(measure, name).result()
        print(f"| {name} | {step:.2f} | {batch:.2f} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()
