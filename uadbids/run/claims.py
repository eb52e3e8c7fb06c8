"""Which scans this run examines: no two runs work on one scan in one work directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

FILE = ".claims"


class Claims:
    """Locks on scans, held until the end of the block or of the process, whatever ends it.

    One file holds them all: a lock on one byte for each scan, at a place that its name gives. So
    the number of scans is not bounded by the number of files that a process may open.

    Parameters
    ----------
    work_dir : Path
        Existing work directory.
    """

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self._file = -1

    def __enter__(self) -> Self:
        self._file = os.open(self.work_dir / FILE, os.O_RDWR | os.O_CREAT, 0o666)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def take(self, name: str) -> bool:
        """Claim a scan; False where another process has it.

        A file system without locks gives every claim: then two runs must not share a work
        directory.
        """
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True
