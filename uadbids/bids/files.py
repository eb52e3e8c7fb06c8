"""Files that appear whole or not at all."""

import csv
import fcntl
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

ABANDONED_SECONDS = 3600


def temporary_name(target: Path) -> Path:
    """Return a name of its own in the folder of `target`; hidden, so BIDS tools overlook it."""
    return target.with_name(f".{uuid4().hex[:12]}_{target.name}")


def file_sha256(path: Path) -> str:
    """Hash the content of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(target: Path, content: bytes) -> bool:
    """Write a file by way of a temporary name, unless it holds this; return whether it did not."""
    # Another run may take the file away at any time.
    with suppress(FileNotFoundError):
        if target.read_bytes() == content:
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    try:
        temporary.write_bytes(content)
        _settle(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder alone; another process that wants it waits. The lock ends with its process.

    A file system without locks lets everybody in: better than no outputs at all there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_together(
    targets: Mapping[Path, Path | bytes], *, last: Path, stale: Iterable[Path] = ()
) -> None:
    """Put several files in place as one, as far as a file system allows.

    Each target comes with a file to copy, or content. The presence of `last` says that the set is
    whole: its old version goes before the first file is replaced, and its new one comes after all
    others. `stale` are files of an older set, which must go with it.

    OSError if a copy fails (full disk, no permission); the old set is then untouched.
    """
    staged: dict[Path, Path] = {}
    try:
        for target, content in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target)
            staged[target] = temporary_name(target)
            if isinstance(content, bytes):
                staged[target].write_bytes(content)
            else:
                # Content alone: modes of the work directory have no place in the outputs.
                shutil.copyfile(content, staged[target])
            _settle(staged[target])
        last.unlink(missing_ok=True)
        for path in stale:
            path.unlink(missing_ok=True)
        for target in sorted(staged, key=lambda path: path == last):
            os.replace(staged[target], target)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Wait until a file is on the disk: a name must not outlive a power cut without its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(target: Path) -> None:
    """Remove what a killed process left; a file of the last hour may be somebody's at work."""
    for left in target.parent.glob(f".{'[0-9a-f]' * 12}_{escape(target.name)}"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink()


def json_bytes(content: Any) -> bytes:
    """Encode as indented JSON with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object of ours, or ``None`` when the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def tsv_bytes(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Encode rows as a BIDS table; what is missing, empty or not a number becomes ``n/a``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return buffer.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None or value == "" or value != value:
        return "n/a"
    return f"{value:.8g}" if isinstance(value, float) else str(value)
