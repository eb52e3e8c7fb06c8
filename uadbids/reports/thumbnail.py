"""One small picture of a scan for the contact sheet of its study."""

from collections.abc import Collection
from pathlib import Path

from uadbids.reports.findings import trace_findings
from uadbids.reports.mosaic import Landmarks, trace_template
from uadbids.reports.panels import BRAIN, Canvas, Tracer, grey, panels, trace
from uadbids.reports.scene import Scene
from uadbids.reports.slices import AXIAL
from uadbids.reports.svg import write_panel

# Flags whose cause the outline of the template shows, and those that the brain mask's shows.
_ALIGNMENT = frozenset({"registration", "orientation"})
_MASK = frozenset({"brain-mask-leak", "brain-volume", "mask-boundary", "field-of-view-cut"})


def draw_thumbnail(scene: Scene, landmarks: Landmarks, flags: Collection[str], out: Path) -> Path:
    """Draw what is doubtful in a scan, by its flags, else its largest finding.

    That is an axial slice, in pixels of 1 mm.
    """
    canvas, tracer = scene.head, trace(scene.head, scene.brain, BRAIN)
    view = scene.focus[AXIAL]
    if _ALIGNMENT & set(flags):
        tracer = trace_template(scene, landmarks)[0]
    elif not _MASK & set(flags):
        canvas, tracer = scene.close, _findings(scene)
    small = Canvas(canvas.volume, canvas.box, least_mm=1.0)
    (panel,) = panels(small, [view], grey(small.plane(), scene.greys), (tracer,))
    return write_panel(panel, out)


def _findings(scene: Scene) -> Tracer:
    return trace_findings(scene.close, scene.labels, scene.rows)
