"""Which values of an image are measurements, and which a tool or a fault has put there."""

from pathlib import Path
from typing import NamedTuple

import cc3d
import numpy as np
import numpy.typing as npt

from uadbids.errors import ScanError
from uadbids.preproc.masks import on_faces

Floats = npt.NDArray[np.floating]

# More holes than this inside the head cannot be a scanner's background.
LARGEST_HOLE_FRACTION = 1e-4
# In robust ranges of an image. In 32 scans of 8 datasets the brightest voxel lay at 1.1 to 2.4.
_BRIGHTEST, _LOWEST = 4.0, -2.0
# Interpolation swings below zero beside edges, and so does the noise of a phase-corrected image.
_SWING, _EXPLAINED = 0.05, 0.3
# Of an image with padding, what lies between it and the rest.
_MIXED = 0.1
_PADDED_SHARE = 0.1
_SAMPLE = 2**20
# An image of fewer bits than three is a mask, or labels.
_FEWEST = 8


class Measured(NamedTuple):
    """What can be a measurement: values from `low` to `high` that are not `padding`."""

    low: float
    high: float
    padding: float | None = None
    swing: float = 0.0  # how far below `low` values are that interpolation explains

    def lacks(self, data: Floats) -> npt.NDArray[np.bool_]:
        """Return True where a voxel is no measurement."""
        strange = (data < self.low) | (data > self.high)
        return strange if self.padding is None else strange | _like(data, self.padding)


def from_zero(data: Floats, in_file: Path) -> tuple[Floats, int, list[str]]:
    """Set what is no measurement to the level of air, which is 0.

    Air below zero (a z-scored image) is shifted there, and everything with it. Returned are the
    values, (X, Y, Z), changed in place and now at least 0, how many voxels were set to air, and
    warnings. ScanError, which names the file, where the head has holes, or nothing has contrast.
    """
    filled = _fill(data, in_file)
    warnings = []
    if filled:
        warnings.append(f"{filled} background voxels that were not numbers were set to the minimum")
    if data.min() == data.max():
        raise ScanError(
            f"{in_file}: every voxel has the value {data.flat[0]:g}; there is no image in it"
        )
    if len(np.unique(_sample(data))) <= _FEWEST and (n := len(np.unique(data))) <= _FEWEST:
        raise ScanError(f"{in_file}: it holds {n} different values: this is a mask, not a FLAIR")
    measured = measured_range(data)
    strange = measured.lacks(data)
    found = data[strange]
    if found.size and (found.min() < measured.low - measured.swing or found.max() > measured.low):
        warnings.append(
            f"{found.size} voxels with values from {found.min():g} to {found.max():g} are no "
            "measurements (padding, or single faults) and were set to the level of air"
        )
    # N4 works on logarithms, and a z-scored image has its background below 0.
    data -= min(float(data[~strange].min()), 0.0)
    data[strange] = 0
    return data, found.size, warnings


def measured_range(data: Floats) -> Measured:
    """Find which values of an image are measurements.

    A value that fills part of the faces is padding if it lies far below the others, or below air,
    or above all others. An image of which hardly anything else lies below zero is a magnitude:
    there 0 is the lowest measurement. In others (z-scored) it is the lowest value that is not far
    from the rest. What lies far above the rest is none either.
    """
    values = _sample(data)
    faces = _sample(data[on_faces(data.shape)])
    below = _dark_padding(faces, values)
    if below is not None:
        # At its edge, interpolation mixes it with the others.
        values = values[values > below / 2]
    above = _bright_padding(faces, values)
    rest = values if above is None else values[~_like(values, above)]
    low, high = _quantiles(rest, 0.005 if below is None else _MIXED, 0.999)
    span = high - low
    if not span:
        return Measured(-np.inf, np.inf)
    top = low + _BRIGHTEST * span
    # Noise about zero lies in air; a z-scored brain on 0 has nothing below it there.
    darkest, air = _quantiles(faces, 0.05, 0.5)
    is_noise = abs(air) <= _SWING * span and darkest <= low / 2
    if low >= -_SWING * span or is_noise:
        return Measured(0.0, top, above, _EXPLAINED * span)
    return Measured(low + _LOWEST * span, top, above)


def _dark_padding(faces: Floats, values: Floats) -> float | None:
    """Find the value that fills part of the faces and is no air; sorted values."""
    value = _quantiles(faces, _PADDED_SHARE / 2)[0]
    if value >= 0 or _like(faces, value).mean() < _PADDED_SHARE:
        return None
    low, dark, high = _quantiles(values[values > value / 2], _MIXED, 0.3, 0.999)
    span = high - low
    if not span:
        return None
    if low < -_SWING * span:
        return value if value < low + _LOWEST * span else None
    has_air = dark < low + 0.1 * span and (faces > value / 2).mean() > _PADDED_SHARE
    return value if has_air or value < low - span else None


def _bright_padding(faces: Floats, values: Floats) -> float | None:
    """Find the value that fills part of the faces and is above all others; sorted values."""
    value = _quantiles(faces, 1 - _PADDED_SHARE / 2)[0]
    is_padding = (
        value > _quantiles(values[~_like(values, value)], 0.999)[0]
        and _like(faces, value).mean() >= _PADDED_SHARE
    )
    return value if is_padding else None


def _quantiles(values: Floats, *shares: float) -> list[float]:
    return [float(np.quantile(values, share)) if values.size else 0.0 for share in shares]


def _like(values: Floats, value: float) -> npt.NDArray[np.bool_]:
    return np.abs(values - value) <= 0.01 * abs(value)


def _sample(data: Floats) -> Floats:
    """Return about a million of the values, sorted."""
    flat = data.ravel(order="K")
    # An odd step meets every column of an image.
    return np.sort(flat[:: (flat.size // _SAMPLE) | 1])


def _fill(data: Floats, in_file: Path) -> int:
    """Fill not-a-number voxels of the background; refuse an image that has them in the head."""
    bad = ~np.isfinite(data)
    n_bad = int(bad.sum())
    if n_bad == 0:
        return 0
    if n_bad == bad.size:
        raise ScanError(f"{in_file}: no voxel holds a finite number")
    labels = cc3d.connected_components(bad, connectivity=6)
    inside = bad & ~np.isin(labels, np.unique(labels[on_faces(bad.shape)]))
    if inside.sum() > LARGEST_HOLE_FRACTION * (bad.size - n_bad):
        raise ScanError(
            f"{in_file}: {int(inside.sum())} voxels inside the image are not finite numbers; "
            "convert the scan again"
        )
    data[bad] = data[~bad].min()
    return n_bad
