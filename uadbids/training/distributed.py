"""Several processes, started by ``torchrun``, that train one model together."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from uadbids.errors import DeviceError, UsageError

T = TypeVar("T")
# Others may wait for as long as the first process preprocesses a cohort.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """The processes of one training, and which of them this is, from 0; alone by default."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's part; all parts together, in the order of ranks, are the whole.

        UsageError if the items cannot be shared out evenly.
        """
        count, left = divmod(len(items), self.size)
        if left:
            raise UsageError(
                f"A batch of {len(items)} cannot be shared out to {self.size} processes evenly; "
                "give a batch size that is a multiple of the number of processes."
            )
        return items[self.rank * count : (self.rank + 1) * count]

    def add(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place; the same bits everywhere."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def average(self, values: Tensor) -> Tensor:
        """Mean over all processes, in place; the same bits everywhere."""
        return self.add(values).div_(self.size)

    def share_gradients(self, model: nn.Module) -> nn.Module:
        """Return what to call for a model that starts and learns alike in all processes."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def any(self, flag: bool) -> bool:
        """Whether the flag is true in one of the processes."""
        if self.size == 1:
            return flag
        return bool(self.add(torch.tensor([float(flag)], device=self.device)) > 0)

    def wait(self) -> None:
        """Return once all processes have called this."""
        # A sum on GPUs is only queued; reading it is what waits.
        float(self.add(torch.zeros(1, device=self.device)))


@contextmanager
def joined(device: str | torch.device) -> Iterator[World]:
    """Join the processes that ``torchrun`` started; without it there is this one alone.

    Of several GPUs each process of a node takes its own. May be nested: the outermost one leaves
    the group again.

    Raises
    ------
    UsageError
        If the processes were not started by ``torchrun``, or all are to use one GPU.
    DeviceError
        If there are more processes on this node than GPUs.
    """
    device = torch.device(device)
    if _from_environment("WORLD_SIZE", 1) == 1:
        yield World(device)
        return
    if device.type == "cuda":
        device = _own_gpu(device)
        torch.cuda.set_device(device)
    outermost = not dist.is_initialized()
    if outermost:
        _meet("nccl" if device.type == "cuda" else "gloo")
    world = World(device, dist.get_rank(), dist.get_world_size())
    try:
        yield world
        if outermost:
            # None may hang up while another one still talks.
            world.wait()
    finally:
        if outermost:
            dist.destroy_process_group()


def _from_environment(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise UsageError(
            f"The environment variable {name} is {value!r}, not a number; start the processes "
            "with torchrun, or unset it."
        ) from error


def _own_gpu(device: torch.device) -> torch.device:
    """GPU with the number that this process has on its node."""
    local, count = _from_environment("LOCAL_RANK", 0), torch.cuda.device_count()
    if device.index not in (None, local):
        raise UsageError(
            f"Under torchrun each process takes a GPU of its own, not '{device}'; give --device "
            "cuda, and name the GPUs in CUDA_VISIBLE_DEVICES."
        )
    if local >= count:
        raise DeviceError(
            f"Process {local} of this node (counted from 0) has no GPU of its own, for there are "
            f"{count}; give torchrun a smaller --nproc-per-node."
        )
    return torch.device("cuda", local)


def _meet(backend: str) -> None:
    """Find the other processes."""
    try:
        dist.init_process_group(backend, timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"WORLD_SIZE promises several processes, but they cannot meet ({reason}); start them "
            "with torchrun, or unset WORLD_SIZE to train with one."
        ) from error
