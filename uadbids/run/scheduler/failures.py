"""Why a scan failed: the node that failed leaves a record, with the sentence of its error."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nipype.pipeline import engine as pe

from uadbids.bids.files import json_bytes, read_json, write_bytes
from uadbids.errors import UadbidsError

# What a machine's faults are called by Python, torch and ITK, and what helps.
_ADVICE = {
    re.compile(r"No space left|Disk quota"): (
        "the disk is full; free space in work and output folder, and run the same command again"
    ),
    re.compile(r"MemoryError|bad_alloc|[Aa]llocate|not enough memory"): (
        "there is not enough memory for this scan; run again with a smaller --nprocs, or give more"
    ),
    re.compile(r"Read-only file system|Permission denied"): (
        "a folder cannot be written; look at the permissions of the work and output folders"
    ),
}


@dataclass(frozen=True)
class Crash:
    """A node that failed."""

    graph: str  # of the scan
    step: str
    reason: str  # the error's own sentence
    crash_file: Path | None  # nipype's record, with the traceback, where it could be written


def sentence(error: BaseException) -> str:
    """Return what an error says: ours, or what to do about a fault of the machine, or Python's."""
    if isinstance(error, UadbidsError):
        return str(error)
    for pattern, advice in _ADVICE.items():
        # Or of the one before it: a fault of the machine comes back when the first is written down.
        for whole in map(_in_short, _chain(error)):
            if pattern.search(whole):
                return f"{advice} ({whole})"
    return _in_short(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _in_short(error: BaseException) -> str:
    # Of a traceback that was put into words, as nipype does, the last line names the error.
    text = str(error).strip()
    return text.rpartition("\n")[2].strip() if "\n" in text else f"{type(error).__name__}: {text}"


def graph_of(node: pe.Node) -> str:
    """Return the name of the scan's graph that a node belongs to."""
    return str(node.fullname).split(".")[1]


def record_failure(node: pe.Node, error: BaseException) -> None:
    """Leave a record in the folder of the node's crash files, where one was set."""
    folder = ((node.config or {}).get("execution") or {}).get("crashdump_dir")
    if folder and node.fullname.count(".") > 1:
        record = {"graph": graph_of(node), "step": node.name, "reason": sentence(error)}
        # On a full disk the process that asked reports it.
        with suppress(OSError):
            write_bytes(Path(folder, f"crash-{record['graph']}.json"), json_bytes(record))


def read_crashes(folder: Path) -> dict[str, Crash]:
    """Read the records of one run, by the names of the graphs."""
    files = {_graph_of_file(path): path for path in sorted(folder.glob("crash-*.txt"))}
    records = map(read_json, sorted(folder.glob("crash-*.json")))
    return {
        record["graph"]: Crash(**record, crash_file=files.get(record["graph"]))
        for record in records
        if record
    }


def _graph_of_file(path: Path) -> str:
    """Name of the scan's graph, from the first line of nipype's crash file."""
    with path.open(errors="replace") as stream:
        return [*stream.readline().split("."), ""][1]
