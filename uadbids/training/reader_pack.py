"""What samples of the reader are made from: tissue maps, scans, slices, masks, maps of places."""

import io
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uadbids.bids.files import write_bytes
from uadbids.errors import UsageError
from uadbids.model.grid import Crop, Triple
from uadbids.training.lesion_painting import LesionMasks
from uadbids.training.lesion_shapes import LesionShapes, PackedMasks
from uadbids.training.samples import Sample

PACKED = "reader-pack.npz.xz"
"""Name of the file that `write_pack` and `read_pack` are about."""
_MASKS = ("scan_masks", "scan_weights", "slice_masks", "slice_weights", "strokes")
_DIFFERENCES = (1, 3)  # axes: across x and z of (N, X, Y, Z)
_T = TypeVar("_T")


@dataclass(frozen=True)
class ReaderPack:
    """Sources of samples, on one part of the template grid of shape (X, Y, Z), even sizes."""

    # Tissue maps (places in `synthesis.tissues.NAMES`), aligned with the template: uint8,
    # (N, X, Y, Z).
    heads: Tensor
    scans: tuple[Sample, ...]  # whose lesions are filled (weight 0)
    scan_weights: tuple[float, ...]  # how often each scan is taken
    # Single axial slices near the middle of the brain, (X, Y); weight 0 where they are bright.
    slices: tuple[Sample, ...]
    frequency: Tensor  # where lesions of multiple sclerosis lie: float32, (X, Y, Z)
    normal: Tensor  # how bright grey matter normally is (robust z): float32, (X, Y, Z)
    lesions: LesionMasks  # shapes to paint
    start: Triple  # place of the part's first voxel on the template grid

    @property
    def shape(self) -> Triple:
        """Size of the grid."""
        x, y, z = self.normal.shape
        return x, y, z


def write_pack(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Write the arrays of a pack, compressed; `read_pack` lists them."""
    stored = {name: _stored(name, array) for name, array in arrays.items()}
    _write(stored, path, preset=2)


def write_pack_of(source: Path, scans_on: Callable[[Crop], Sequence[Sample]], path: Path) -> None:
    """Copy a pack with other scans, each as likely as the others.

    `scans_on` gives them on a part of the template grid, that of the pack. UsageError if the source
    is no pack.
    """
    arrays = _read(source)
    scans = scans_on(Crop(_triple(arrays["start"]), _triple(arrays["normal"].shape)))
    parts = (np.stack([np.asarray(part) for part in parts]) for parts in zip(*scans, strict=True))
    names = ("scans", "scan_masks", "scan_weights")
    replaced = {name: _stored(name, part) for name, part in zip(names, parts, strict=True)}
    # Not kept for long: time counts more than size.
    _write({**arrays, **replaced, "scan_chances": np.ones(len(scans))}, path, preset=0)


def _stored(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array as it lies in the file."""
    if name in _MASKS:
        return np.packbits(array.reshape(len(array), -1) > 0, axis=1)
    if name == "scans":
        # Differences between neighbours, modulo 256, are smaller files than the values.
        for axis in _DIFFERENCES:
            array = np.diff(array, axis=axis, prepend=np.uint8(0))
    return array


def _write(stored: Mapping[str, npt.NDArray[Any]], path: Path, preset: int) -> None:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **stored)
    write_bytes(path, lzma.compress(stream.getvalue(), preset=preset))


def read_pack(path: Path) -> ReaderPack:
    """Read a pack, to the CPU; UsageError if there is no such file, or it is another one.

    It is an archive with ``heads``, ``scans``, ``scan_masks``, ``scan_weights``, ``scan_chances``,
    ``slices``, ``slice_masks``, ``slice_weights``, ``frequency``, ``normal``, ``strokes``,
    ``start`` and the shapes ``bits``, ``length`` and ``shape``.
    """
    return _checked(path, lambda: _unpacked(_read(path)))


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    def read() -> dict[str, npt.NDArray[Any]]:
        content = lzma.decompress(path.read_bytes())
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)

    return _checked(path, read)


def _checked(path: Path, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except (OSError, lzma.LZMAError, ValueError, KeyError) as error:
        raise UsageError(
            f"{path}: this is no pack of the reader's training ({error}); make one by "
            "recipes/packaged/reader.py pack."
        ) from error


def _unpacked(arrays: dict[str, npt.NDArray[Any]]) -> ReaderPack:
    volumes, grid = arrays["scans"], arrays["normal"].shape
    for axis in reversed(_DIFFERENCES):
        volumes = np.cumsum(volumes, axis=axis, dtype=np.uint8)

    def masks(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        found = np.unpackbits(arrays[name], axis=1, count=int(np.prod(shape)))
        return found.reshape(-1, *shape).astype(bool)

    scans = (volumes, masks("scan_masks", grid), masks("scan_weights", grid))
    slices = (arrays["slices"], masks("slice_masks", grid[:2]), masks("slice_weights", grid[:2]))
    return ReaderPack(
        torch.from_numpy(arrays["heads"]),
        _samples(*scans),
        tuple(float(weight) for weight in arrays["scan_chances"]),
        _samples(*slices),
        torch.from_numpy(arrays["frequency"].astype(np.float32)),
        torch.from_numpy(arrays["normal"].astype(np.float32)),
        LesionMasks(
            LesionShapes.of(arrays["bits"], arrays["length"], arrays["shape"]),
            PackedMasks(arrays["strokes"], _triple(grid)),
        ),
        start=_triple(arrays["start"]),
    )


def _samples(*arrays: npt.NDArray[Any]) -> tuple[Sample, ...]:
    return tuple(Sample(*map(torch.from_numpy, parts)) for parts in zip(*arrays, strict=True))


def _triple(values: Sequence[int] | npt.NDArray[Any]) -> Triple:
    x, y, z = (int(value) for value in values)
    return x, y, z
