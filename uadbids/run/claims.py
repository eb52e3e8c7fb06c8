"""Which scans this run examines: no two runs work on one scan in one work directory."""

import fcntl
import hashlib
from contextlib import AbstractContextManager
from pathlib import Path


class Claims(AbstractContextManager["Claims"]):
    """Locks on scans, held until the end of the block or of the process, whatever ends it.

    One file in the work directory, which exists, holds them all: a lock on one byte for each scan,
    at a place that its name gives. So the number of scans is not bounded by the number of files
    that a process may open.
    """

    def __init__(self, work_dir: Path) -> None:
        self._file = (work_dir / ".claims").open("ab")

    def __exit__(self, *_: object) -> None:
        self._file.close()

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
