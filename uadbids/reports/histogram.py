"""How unusual the voxels of a scan are, beside those of the calibration cohort."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from uadbids.model.calibration import Calibration
from uadbids.reports.plots import COLOURS, STYLE, save_svg
from uadbids.reports.slices import FloatArray

_BINS = 60
_VOXELS_PER_ML = 1000.0


def draw_histogram(
    values: FloatArray, threshold: float, calibration: Calibration | None, out: Path
) -> Path:
    """Draw how much of the brain exceeds each value of the anomaly map.

    `values` (N,) are those of the map at the examined voxels of the 1 mm template grid; the
    threshold, that of the mask of findings, is in the same unit. The calibration, healthy
    residuals, is None where the map is of another kind than the calibrated one.
    """
    top = max(2.0 * threshold, float(np.quantile(values, 0.9999)) if values.size else 0.0, 1e-3)
    levels = np.linspace(0.0, top, _BINS)
    counts, _ = np.histogram(values, [*levels, np.inf])
    above = np.cumsum(counts[::-1])[::-1] / _VOXELS_PER_ML
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 3.2))
        # Margins of its own: to have them found takes longer than to draw.
        axes = figure.add_axes((0.085, 0.17, 0.9, 0.79))
        axes.step(levels, _drawn(above), where="mid", color="#000000", label="this scan")
        if calibration is not None:
            expected = (1.0 - calibration.share_below(levels)) * values.size / _VOXELS_PER_ML
            axes.plot(
                levels, _drawn(expected), "--", color=COLOURS[0], label="held-out reference scans"
            )
        axes.axvline(threshold, color=COLOURS[1], linewidth=1.6, label="threshold")
        axes.set(
            xlabel="value of the anomaly map",
            ylabel="volume above it, mL",
            yscale="log",
            xlim=(0, top),
            ylim=(0.01, max(values.size / _VOXELS_PER_ML, 1.0) * 1.3),
        )
        axes.yaxis.set_minor_locator(NullLocator())
        # Powers of ten in plain figures: mathematical type takes longer than all the rest.
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="upper right")
        return save_svg(figure, out)


def _drawn(volumes: np.ndarray) -> np.ndarray:
    """Nothing has no place on a logarithmic axis."""
    return np.where(volumes > 0, volumes, np.nan)
