"""Checkpoints of a training, and stopping a training without losing it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from uadbids.errors import UsageError
from uadbids.training.memory import memory_advice


def save_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Write tensors and plain values under a temporary name, then rename the file.

    ``identity`` are the plain values that a run must share to continue from it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save({"identity": identity, "state": state}, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Read the state back, to the CPU: a GPU need not hold it beside the model.

    Nothing but tensors and plain values is unpickled. UsageError if the file cannot be read, does
    not fit into memory, or was written with another identity: by a training of another model or
    configuration.
    """
    try:
        with memory_advice(torch.device("cpu")):
            content = torch.load(path, map_location="cpu", weights_only=True)
        found, state = content["identity"], content["state"]
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(
            f"The checkpoint {path} cannot be opened ({error.strerror or error}); see to it that "
            "it is a file that you may read."
        ) from error
    except Exception as error:  # torch raises many kinds for damaged files
        raise UsageError(
            f"The checkpoint {path} cannot be read ({type(error).__name__}); remove it or "
            "give --no-resume to start the training again."
        ) from error
    if found != identity:
        raise UsageError(
            f"The checkpoint {path} was written by a training with another model, other "
            "settings or other scans, or by another version; give --no-resume to start again, or "
            "another folder for intermediate files (--work-dir) to keep it."
        )
    return dict(state)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list, so that a step can finish and be saved.

    Outside the main thread it stays empty.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, lambda got, _: asked.append(got)) for number in signals]
    try:
        yield asked
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
