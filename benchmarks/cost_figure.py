"""The figure of costs: a scan against its voxels, a study against its scans."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from matplotlib import rc_context
from matplotlib.figure import Figure

from uadbids.reports.plots import COLOURS, STYLE, save_svg

MARKERS = "osD^"


class ScanCost(NamedTuple):
    """Voxels of a scan, seconds of its stages, and the peak memory of the worst of them."""

    voxels: int
    seconds: list[float]
    memory_mb: float


class Growth(Protocol):
    """Seconds and MB for each number of scans."""

    seconds: list[float]
    memory_mb: list[float]


def draw_costs(
    scans: Sequence[ScanCost], counts: Sequence[int], study: Mapping[str, Growth], out: Path
) -> None:
    """Write the figure as SVG."""
    ordered = sorted(scans)
    million = [one.voxels / 1e6 for one in ordered]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 5.6), layout="constrained")
        (seconds, study_seconds), (memory, study_memory) = figure.subplots(2, 2, sharex="col")
        seconds.plot(million, [sum(one.seconds) for one in ordered], "o", color=COLOURS[0])
        memory.plot(million, [one.memory_mb / 1000 for one in ordered], "o", color=COLOURS[0])
        for (part, grown), colour, marker in zip(study.items(), COLOURS, MARKERS, strict=False):
            look = {"color": colour, "marker": marker, "label": part}
            study_seconds.plot(counts, grown.seconds, **look)
            study_memory.plot(counts, [mb / 1000 for mb in grown.memory_mb], **look)
        seconds.set(title="one scan", ylabel="CPU seconds")
        memory.set(xlabel="million voxels", ylabel="peak memory, GB")
        study_seconds.set(title="a study, without its scans")
        study_memory.set(xlabel="scans")
        study_seconds.legend(frameon=False)
        for axes in (seconds, memory, study_seconds, study_memory):
            axes.grid(alpha=0.3)
            axes.set(xlim=(0, 1.08 * axes.dataLim.x1), ylim=(0, 1.1 * axes.dataLim.y1))
        save_svg(figure, out)
