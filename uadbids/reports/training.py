"""The two figures of a training: its curves, and what the model makes of held-out scans."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from uadbids.reports.panels import Canvas, colour_maximum, grey, heat, panels, window
from uadbids.reports.plots import STYLE, save_svg
from uadbids.reports.slices import AXIAL, Volume, bounding_box, spread
from uadbids.reports.svg import ColourBar, Row, Sheet, write_sheet

SLICES = 6
# Column of the history -> caption of its axis.
CURVES: Mapping[str, str] = {
    "val_mae": "held-out error (mean absolute)",
    "reconstruction": "L1 in training",
    "kl": "KL divergence (nats)",
    "active_units": "active latent units",
    "sigma": "Sigma (moving mean of L1)",
    "learning_rate": "learning rate",
}
# Distinct without colour: the dash, then the shade.
_DASHES = ("-", "--", "-.", ":")
_SHADES = ("#000000", "#1f5f99", "#cc8400", "#999999")
_STYLE: dict[Any, Any] = {
    **STYLE,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
}


@dataclass(frozen=True)
class Reconstructed:
    """A held-out scan and what the model made of it, all of shape (X, Y, Z) on one RAS grid."""

    name: str
    volume: NDArray[np.float32]
    mask: NDArray[np.bool_]
    reconstruction: NDArray[np.float32]
    anomaly_map: NDArray[np.float32]


def draw_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]], out: Path) -> Path:
    """Draw losses and errors over the optimiser steps, one line for each training.

    `histories` gives, for the name of a training, its epochs in order, each with ``step``, ``kept``
    and columns of `CURVES`; a column without a finite number is left out.
    """
    shown = [name for name in CURVES if any(_points(rows, name) for rows in histories.values())]
    with matplotlib.rc_context(_STYLE):
        lines = math.ceil(len(shown) / 2)
        figure = Figure(figsize=(10, 2.9 * lines + 0.6), layout="constrained")
        axes = np.atleast_1d(figure.subplots(lines, 2, squeeze=False)).ravel()
        for column, axis in zip(shown, axes, strict=False):
            for number, rows in enumerate(histories.values()):
                _draw_line(axis, rows, column, number)
            axis.set_title(CURVES[column], loc="left", fontsize=11)
            axis.set_xlabel("optimiser step")
            axis.set_ylim(bottom=0)
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        _draw_legend(figure, list(histories))
        return save_svg(figure, out)


def draw_reconstructions(
    scans: Sequence[Reconstructed], affine: NDArray[np.floating], threshold: float, out: Path
) -> Path:
    """Draw input, reconstruction and anomaly map of some scans on the same axial slices.

    There is at least one scan; `affine` is that of their grid. The threshold of the mask of
    findings fixes the colours.
    """
    maximum = colour_maximum(scans[0].anomaly_map, threshold)
    rows: list[Row] = []
    for scan in scans:
        seen = scan.mask & (scan.reconstruction > 0)
        volume = Volume(scan.volume, np.asarray(affine, dtype=np.float64))
        box = bounding_box(seen, volume.spacing, margin_mm=4)
        views = [(AXIAL, index) for index in spread(box[AXIAL], SLICES)]
        greys = window(scan.volume, seen)
        canvas = Canvas(volume, box)
        rebuilt, unusual = canvas.plane(scan.reconstruction), canvas.plane(scan.anomaly_map)
        rows += [
            Row(f"{scan.name}: input", panels(canvas, views, grey(canvas.plane(), greys))),
            Row("reconstruction", panels(canvas, views, grey(rebuilt, greys))),
            Row("anomaly map", panels(canvas, views, heat(unusual, maximum))),
        ]
    sheet = Sheet(
        title="Held-out scans, their reconstructions and anomaly maps",
        rows=tuple(rows),
        colour_bar=ColourBar("anomaly map", maximum, threshold),
        note="Nobody shown here was trained on. Radiological convention.",
    )
    return write_sheet(sheet, out)


def _points(rows: Sequence[Mapping[str, Any]], column: str) -> list[tuple[int, float]]:
    points = [(int(row["step"]), row.get(column)) for row in rows]
    return [(step, float(y)) for step, y in points if y is not None and math.isfinite(y)]


def _draw_line(axis: Axes, rows: Sequence[Mapping[str, Any]], column: str, number: int) -> None:
    points = _points(rows, column)
    if not points:
        return
    colour, dash = _look(number)
    steps, values = zip(*points, strict=True)
    # A training of one epoch is a point, which a line would not show.
    axis.plot(steps, values, dash, color=colour, marker="." if len(points) < 3 else None)
    kept = [row["step"] for row in rows if row.get("kept")]
    marks = [(step, value) for step, value in points if step in kept]
    if marks:
        axis.plot(*zip(*marks, strict=True), "o", color=colour, fillstyle="none", markersize=8)


def _look(number: int) -> tuple[str, Any]:
    dash = _DASHES[number % len(_DASHES)]
    return _SHADES[(number // len(_DASHES) + number) % len(_SHADES)], dash


def _draw_legend(figure: Figure, names: Sequence[str]) -> None:
    entries = [
        Line2D([], [], color=_look(number)[0], linestyle=_look(number)[1], label=name)
        for number, name in enumerate(names)
    ]
    entries.append(
        Line2D([], [], color="#000000", linestyle="", marker="o", fillstyle="none", label="kept")
    )
    figure.legend(handles=entries, loc="outside upper center", ncols=min(len(entries), 6))
