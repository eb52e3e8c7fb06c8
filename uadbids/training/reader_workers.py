"""Samples of the reader from worker processes, in the order of their numbers."""

import multiprocessing as mp
import queue
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uadbids.errors import UadbidsError, UsageError
from uadbids.model.config import VAEConfig
from uadbids.model.grid import Crop, Triple
from uadbids.model.reader_inputs import Box
from uadbids.model.vae import VAE
from uadbids.model.weights import load_weights
from uadbids.training.reader_pack import read_pack
from uadbids.training.reader_samples import ReaderSample, SampleConfig, SampleMaker

# Samples that each worker keeps ready: about 40 MB each.
_READY = 2
_PATIENCE_S = 20


@dataclass(frozen=True)
class MakerFiles:
    """From files to a `SampleMaker`: what a worker process is given."""

    pack: Path  # see `reader_pack.read_pack`
    weights: Path  # of the VAE that reconstructs (safetensors)
    network: VAEConfig  # its architecture
    crop: Crop  # what it sees of the template grid
    config: SampleConfig
    seed: str  # of all samples
    device: str  # where they are made

    def __call__(self) -> SampleMaker:
        """Read the files."""
        device = torch.device(self.device)
        pack, model = read_pack(self.pack), VAE(self.network)
        content = self.weights.read_bytes()
        model.load_state_dict(load_weights(self.weights, content, model.state_dict()))
        seen = seen_box(self.crop, pack.start)
        return SampleMaker(pack, model, seen, self.config, self.seed, device)


def seen_box(crop: Crop, start: Triple) -> Box:
    """Place of a VAE's crop on a part of the template grid that begins at `start`."""
    x, y, z = (
        slice(a - b, a - b + n) for a, b, n in zip(crop.start, start, crop.shape, strict=True)
    )
    return x, y, z


@contextmanager
def samples_from(
    maker: Callable[[], SampleMaker], first: int, workers: int
) -> Iterator[Iterator[ReaderSample]]:
    """Make samples beside the training: without end, in the order of their numbers, from `first`.

    The maker, which is pickled, is called once in each process; without workers the same samples
    are made in this one, when they are asked for. The iterator raises UadbidsError if a worker
    fails or is killed.
    """
    if workers < 1:
        local = maker()
        yield (local.make(number) for number in count(first))
        return
    # Forked processes could not use a GPU that this one has touched.
    context = mp.get_context("spawn")
    queues = [context.Queue(_READY) for _ in range(workers)]
    processes = [
        context.Process(target=_work, args=(maker, first + i, workers, q), daemon=True)
        for i, q in enumerate(queues)
    ]
    for process in processes:
        process.start()
    try:
        yield _in_turn(queues, processes)
    finally:
        for process in processes:
            process.terminate()
        for process, waiting in zip(processes, queues, strict=True):
            process.join()
            waiting.cancel_join_thread()
            waiting.close()


def _in_turn(queues: list[Any], processes: list[Any]) -> Iterator[ReaderSample]:
    for turn in count():
        place = turn % len(queues)
        found = _next(queues[place], processes[place])
        if isinstance(found, str):
            raise UadbidsError(f"A process that paints samples failed: {found}")
        yield ReaderSample(*map(torch.from_numpy, found))


def _next(waiting: Any, process: Any) -> tuple[np.ndarray, ...] | str:
    while True:
        try:
            found: tuple[np.ndarray, ...] | str = waiting.get(timeout=_PATIENCE_S)
            return found
        except queue.Empty:
            if not process.is_alive():
                raise UsageError(
                    "A process that paints samples was killed, most often for want of memory; "
                    "give fewer workers (--workers)."
                ) from None


def _work(maker: Callable[[], SampleMaker], first: int, step: int, ready: Any) -> None:
    """Make every `step`-th sample, until the process is ended."""
    # Ctrl-C is for the training, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    try:
        made = maker()
        for number in count(first, step):
            # As arrays: tensors would go through shared memory, of which containers have little.
            if not _put(ready, tuple(part.numpy() for part in made.make(number))):
                return
    except Exception as error:  # noqa: BLE001 - whatever it is, the training has to hear of it
        _put(ready, f"{type(error).__name__}: {error}")


def _put(ready: Any, item: tuple[np.ndarray, ...] | str) -> bool:
    """Wait until the item is asked for; false if the training is no longer there."""
    parent = mp.parent_process()
    while parent is None or parent.is_alive():
        try:
            ready.put(item, timeout=_PATIENCE_S)
        except queue.Full:
            continue
        return True
    return False
