"""Seconds and memory: of a call in a process of its own, and of a command with all its workers."""

import multiprocessing
import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Cost(NamedTuple):
    """What calls took, one after the other in one process.

    Attributes
    ----------
    seconds : list of float
        CPU seconds of each, its threads and children included: other programs on the machine
        change them less than wall time.
    memory_mb : list of float
        Peak of the process during each.
    values : list
        What each returned.
    failure : str
        Why there are none.
    """

    seconds: list[float]
    memory_mb: list[float]
    values: list[Any]
    failure: str = ""


def measured(body: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Cost:
    """Call a function with each set of arguments, in a new process that starts with our imports."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, body, calls))
    process.start()
    sender.close()
    try:
        cost: Cost = receiver.recv()
    except EOFError:
        cost = Cost([], [], [], "its process was ended")
    process.join()
    return cost


def _measure(sender: Any, body: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> None:
    seconds, memory, values = [], [], []
    try:
        for call in calls:
            # Forget the peak of what came before.
            Path("/proc/self/clear_refs").write_text("5")
            started = cpu_seconds()
            values.append(body(*call))
            seconds.append(cpu_seconds() - started)
            memory.append(_peak_mb())
        failure = ""
    except ImportError as error:
        failure = f"not installed: {error.name}"
    except Exception as error:  # noqa: BLE001  # a row of the table tells
        failure = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:80]}"
    sender.send(Cost(seconds, memory, values, failure))


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Watched(NamedTuple):
    """What a command and all its workers took.

    Wall seconds; CPU seconds and peak memory, as far as looking at them every now and then tells;
    exit status.
    """

    seconds: float
    cpu_seconds: float
    memory_mb: float
    status: int


def watched(command: Sequence[object], every: float = 0.1, **options: Any) -> Watched:
    """Run a command and look at its processes (proportional set size, CPU time; Linux)."""
    started, peak = time.monotonic(), 0.0
    used: dict[int, float] = {}
    process = subprocess.Popen([str(part) for part in command], **options)
    while process.poll() is None:
        tree = _tree(process.pid)
        used |= {number: _cpu(number, used.get(number, 0.0)) for number in tree}
        peak = max(peak, sum(map(_memory_mb, tree)))
        time.sleep(every)
    return Watched(time.monotonic() - started, sum(used.values()), peak, process.returncode)


def _tree(root: int) -> list[int]:
    """Return a process and everything below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(folder.name)):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children.get(process, [])
    return found


def _stat(process: int) -> list[str]:
    """Return what the system tells of a process, from its state on; nothing if it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(process: int, before: float) -> float:
    fields = _stat(process)
    # A process that has just ended keeps what was seen of it.
    ticks = sum(map(int, fields[11:13]))
    return max(before, ticks / os.sysconf("SC_CLK_TCK"))


def _memory_mb(process: int) -> float:
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(row.split()[1]) for row in rollup.splitlines() if row.startswith("Pss:")) / 1024


def machine() -> str:
    """Name the processor and how many of its cores this process may use."""
    text = Path("/proc/cpuinfo").read_text()
    name = text.partition("model name")[2].partition("\n")[0].strip("\t :")
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
