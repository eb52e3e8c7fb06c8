"""The images of a scan for the viewer in its page: all sagittal slices side by side (brainsprite).

The script of the viewer is brainsprite's, which nilearn ships; `templates/viewer.js` starts it.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uadbids.bids.files import json_bytes, write_bytes
from uadbids.reports.findings import TAG_STYLES, UNTAGGED, style_of
from uadbids.reports.panels import window
from uadbids.reports.slices import Volume, bounding_box
from uadbids.reports.svg import anomaly_colours, jpeg, png

# Shades of the map up to the brightest, thrice the threshold: a third of them lies below it.
_SHADES = 30
_BELOW = _SHADES // 3
_CLEAR = (0, 0, 0, 0)
_Box = tuple[slice, ...]


def write_viewer(
    volume: Volume,
    anomaly: Volume,
    components: Volume,
    out: Path,
    *,
    rows: Sequence[Mapping[str, Any]],
    threshold: float,
    to_average: NDArray[np.floating],
) -> Path:
    """Write what the viewer shows, a JSON file that holds its pictures.

    Volumes are brain, anomaly map and numbers of findings on the template grid; rows, of the table
    of findings; the threshold, that of their mask. `to_average`, (4, 4), leads from voxels of the
    grid to millimetres of MNI152.
    """
    seen = volume.data > 0
    box = bounding_box(seen, volume.spacing, margin_mm=2)
    brain, labels = volume.data[box], components.data[box].astype(np.int32)
    parts = {n: part for n, part in enumerate(ndimage.find_objects(labels), start=1) if part}
    black, white = window(brain, seen[box])
    shades = _shades(brain - black, 255 / max(white - black, 1e-6), 255)
    # Upwards: what is just over the threshold has a shade over it, too.
    scaled = anomaly.data[box] * np.float32(_SHADES / max(3 * threshold, 1e-6))
    levels = _shades(np.ceil(scaled, out=scaled), 1.0, _SHADES)
    colours = anomaly_colours(np.arange(_SHADES + 1) / _SHADES)
    palette = np.column_stack([colours, np.full(_SHADES + 1, 200, np.uint8)])
    palette[0] = _CLEAR
    content = {
        "slices": list(brain.shape),
        "scan": jpeg(_sprite(shades)),
        "above": png(_sprite(np.where(levels > _BELOW, levels, 0)), palette),
        "below": png(_sprite(np.where(levels <= _BELOW, levels, 0)), palette),
        "findings": png(_sprite(_borders(labels, parts, rows)), _tag_palette()),
        "places": _places(labels, parts),
        "matrix": np.round(_mirrored(to_average, box, brain.shape[0]), 5).tolist(),
    }
    write_bytes(out, json_bytes(content))
    return out


def _shades(values: NDArray[np.floating], scale: float, top: int) -> NDArray[np.uint8]:
    """Scale values to whole numbers from 0 to `top`."""
    scaled = values * np.float32(scale)
    return np.clip(scaled, 0, top, out=scaled).astype(np.uint8)


def _sprite(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put sagittal slices beside each other: the patient's right first, front right, top up."""
    x, y, z = data.shape
    columns = math.ceil(math.sqrt(x * z / y))
    lines = math.ceil(x / columns)
    sheet = np.zeros((lines * columns, z, y), np.uint8)
    sheet[:x] = data[::-1, :, ::-1].transpose(0, 2, 1)
    return sheet.reshape(lines, columns, z, y).swapaxes(1, 2).reshape(lines * z, columns * y)


def _borders(
    labels: NDArray[np.integer], parts: Mapping[int, _Box], rows: Sequence[Mapping[str, Any]]
) -> NDArray[np.uint8]:
    """Voxels at the surface of findings: 1 and more for the tag, in the order of `TAG_STYLES`."""
    styles = list(TAG_STYLES.values())
    kinds = {int(row["index"]): style_of(row) for row in rows}
    borders = np.zeros(labels.shape, np.uint8)
    for number, part in parts.items():
        style = kinds.get(number)
        mask = labels[part] == number
        edge = mask & ~ndimage.binary_erosion(mask)
        borders[part][edge] = 1 + (styles.index(style) if style in styles else len(styles))
    return borders


def _tag_palette() -> NDArray[np.uint8]:
    colours = [style.colour for style in (*TAG_STYLES.values(), UNTAGGED)]
    shades = [(*bytes.fromhex(colour.removeprefix("#")), 255) for colour in colours]
    return np.array([_CLEAR, *shades], np.uint8)


def _places(labels: NDArray[np.integer], parts: Mapping[int, _Box]) -> dict[str, list[int]]:
    """Find a voxel in the middle of each finding; x as in `_sprite`."""
    places = {}
    for number, part in parts.items():
        voxels = np.argwhere(labels[part] == number)
        middle = voxels[np.argmin(np.sum((voxels - voxels.mean(axis=0)) ** 2, axis=1))]
        x, y, z = (int(side.start + at) for side, at in zip(part, middle, strict=True))
        places[str(number)] = [labels.shape[0] - 1 - x, y, z]
    return places


def _mirrored(
    to_average: NDArray[np.floating], box: tuple[slice, ...], length: int
) -> NDArray[np.floating]:
    """Matrix from slices of the viewer to millimetres of MNI152."""
    shift = np.eye(4)
    shift[:3, 3] = [side.start for side in box]
    shift[0, 0], shift[0, 3] = -1, box[0].start + length - 1
    return np.asarray(to_average @ shift)


@cache
def viewer_script() -> str:
    """Return brainsprite's script, as nilearn packages it; it need not be imported for it."""
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("nilearn is not installed; install uadbids again")
    (script,) = Path(spec.origin).parent.rglob("brainsprite.min.js")
    return script.read_text(encoding="utf-8")
