"""Running out of memory, as a sentence that says what helps."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from uadbids.errors import UsageError

# The allocator of the CPU raises a plain RuntimeError, worded by platform.
_CPU_WORDS = ("can't allocate memory", "not enough memory")


@contextmanager
def memory_advice(device: torch.device) -> Iterator[None]:
    """Turn every kind of out-of-memory error of a training into a UsageError with advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
        if not known and not any(words in str(error) for words in _CPU_WORDS):
            raise
        elsewhere = ", or train on the CPU (--device cpu)" if device.type != "cpu" else ""
        raise UsageError(
            f"The training does not fit into the memory of the device '{device}'; give a smaller "
            "--batch-size, fewer channels (--channels) or a 2D model, end other programs on it"
            f"{elsewhere}."
        ) from error
