"""A hostile input: a name, a function that writes the scan, the outcome, the exact sentence.

All are made from the packaged example, with a bright ball in its white matter (heads.py).
"""

import gzip
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from heads import Head, save

Outcome = Literal["run", "skip", "refuse"]


@cache
def ordinary_user() -> tuple[str, ...] | None:
    """Begin a command by this to run it without root's power over files; None where that fails."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", "--bounding-set=-all")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return prefix


Write = Callable[[Path, Head], Head | None]
"""Writes a scan to a path; returns the head that is in it, or None where nothing is to be found."""


@dataclass(frozen=True)
class Case:
    """One case.

    ``sentence`` is what the user is told. ``FILE`` stands for the path, and ``ERROR`` for what a
    library says. For a scan that runs it is the warning that tells what is odd, ``N`` for each
    number; several are joined by " / ". ``file`` is the image's name, where it is another one.
    """

    name: str
    write: Write
    outcome: Outcome
    sentence: str = ""
    what: str = ""
    file: str = ""

    def path(self, root: Path) -> Path:
        """Where the image belongs in a dataset."""
        file = self.file or f"sub-{self.name}_FLAIR.nii.gz"
        return root / f"sub-{self.name}" / "anat" / file


def turn(*degrees: float) -> np.ndarray:
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return move


def header(change: Callable[[nib.Nifti1Header], None]) -> Write:
    """Write the head, and then change fields of its header."""

    def write(path: Path, head: Head) -> Head:
        save(path, head, data=head.data.astype(np.int16))
        content = bytearray(gzip.decompress(path.read_bytes()))
        edited = nib.Nifti1Header(bytes(content[:348]), check=False)
        change(edited)
        content[:348] = edited.binaryblock
        path.write_bytes(gzip.compress(bytes(content), 1))
        return head

    return write


def fields(**values: object) -> Write:
    return header(lambda edited: [edited.__setitem__(k, v) for k, v in values.items()] and None)


def values(change: Callable[[np.ndarray], np.ndarray], *, ball: bool = True) -> Write:
    """Write other voxels on the same grid."""

    def write(path: Path, head: Head) -> Head | None:
        save(path, head, data=change(head.data.copy()))
        return head if ball else None

    return write


def spot(data: np.ndarray, value: float, half: int) -> np.ndarray:
    """Put a cube of a value into the middle of the head."""
    i, j, k = (n // 2 for n in data.shape)
    data[i - half : i + half, j - half : j + half, k - half : k + half] = value
    return data


def grid(change: Callable[[Head], Head], *, ball: bool = True) -> Write:
    def write(path: Path, head: Head) -> Head | None:
        changed = save(path, change(head))
        return changed if ball else None

    return write


def cut(head: Head, keep: tuple[slice, slice, slice]) -> Head:
    """Keep part of the field of view."""
    shift = np.eye(4)
    shift[:3, 3] = [s.start or 0 for s in keep]
    return Head(np.ascontiguousarray(head.data[keep]), head.affine @ shift, head.ball)


def raw_bytes(change: Callable[[bytes], bytes]) -> Write:
    """Write the example's file with other bytes."""

    def write(path: Path, head: Head) -> None:
        save(path, head, data=head.data.astype(np.int16))
        path.write_bytes(change(path.read_bytes()))

    return write


def flip_bit(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) * 2 // 3] ^= 4
    return bytes(changed)


def bomb(content: bytes) -> bytes:
    """Let a file of some 100 kB unpack to 100 MB more than its header tells."""
    tail = gzip.compress(bytes(100_000_000))
    return gzip.compress(gzip.decompress(content), 1) + tail


def claims(path: Path, head: Head) -> None:
    """Let a header of a small file claim 1024 x 1024 x 400 voxels."""
    content = nib.Nifti1Header()
    content.set_data_dtype(np.int16)
    content.set_data_shape((1024, 1024, 400))
    content["pixdim"][1:4] = (0.25, 0.25, 0.5)
    content.set_sform(np.diag([0.25, 0.25, 0.5, 1.0]), code=1)
    content["vox_offset"], content["magic"] = 352, b"n+1"
    path.write_bytes(gzip.compress(content.binaryblock + bytes(4) + bytes(1000)))


def link(target: str | None) -> Write:
    """Put a link in place of the file: out of the dataset, to nowhere, or to itself."""

    def write(path: Path, head: Head) -> Head | None:
        if target == "loop":
            path.symlink_to(path.name)
        elif target is not None:
            path.symlink_to(path.with_name(target))
        else:
            elsewhere = path.parents[3] / "elsewhere" / path.name
            elsewhere.parent.mkdir(exist_ok=True)
            save(elsewhere, head)
            path.symlink_to(os.path.relpath(elsewhere, path.parent))
            return head
        return None

    return write
