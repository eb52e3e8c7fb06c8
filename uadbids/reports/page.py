"""The HTML page of one subject: a single file that needs neither network nor script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment

from uadbids.bids.files import write_bytes
from uadbids.reports.layout import label, new_environment

MAX_ROWS = 30


@dataclass(frozen=True)
class FigureText:
    """Heading, explanation and alternative text of one kind of figure."""

    title: str
    caption: str


FIGURES = {
    "detection": FigureText(
        "What was found",
        "The scan as acquired, without and with the anomaly map. Colour is how far the "
        "scan lies above the model's healthy reconstruction (residuals 'excess' and "
        "'hyperintense' count it only where the voxel is also bright for this scan's own tissue); "
        "outlined is what exceeds threshold and minimum size. Parts outside the examined brain "
        "carry no colour.",
    ),
    "reconstruction": FigureText(
        "How it was found",
        "The scan on the template grid, the healthy brain that the model makes of it, their "
        "difference and the lesion mask. Distrust lesions where the reconstruction as a whole "
        "looks unlike the scan.",
    ),
    "brain": FigureText(
        "Brain mask",
        "The outline should follow the brain's surface. Brain left outside was not examined; skull "
        "or eye inside may appear as a lesion.",
    ),
    "registration": FigureText(
        "Alignment to the template",
        "The outlines belong to the template. They should fit the scan to within some millimetres, "
        "since alignment is rigid.",
    ),
}


@dataclass(frozen=True)
class ScanReport:
    """Everything the page tells of one FLAIR.

    Attributes
    ----------
    name : str
        File name stem, e.g. 'sub-01_ses-1_run-1'; also the anchor on the page.
    title : str
        Heading, in words.
    facts : mapping
        Provenance under CamelCase keys (`LABELS`), with `StageSeconds` and `Warnings` apart.
    summary : mapping
        Results under CamelCase keys; `ExaminedBrainFraction` in [0, 1].
    components : sequence of mapping
        Rows index, volume_ml or volume_mm3, score_max, x_mm, y_mm, z_mm, largest first.
    figures : mapping
        Kind ('detection', 'reconstruction', 'brain', 'registration') -> path relative to the page.
    warnings : sequence of str
        Sentences for the reader.
    """

    name: str
    title: str
    facts: Mapping[str, Any]
    summary: Mapping[str, Any]
    components: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Failure:
    """A FLAIR without result: why, and where the details are (path relative to the page)."""

    name: str
    reason: str
    crash_file: str | None = None


def write_subject_page(
    out: Path,
    *,
    subject: str,
    scans: Sequence[ScanReport],
    failures: Sequence[Failure],
    card: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Path:
    """Write the page of one subject.

    Parameters
    ----------
    out : Path
        HTML file to write, by a temporary name in the same folder; figures are linked, not copied.
    subject : str
        Label without `sub-`.
    scans, failures : sequence
        Finished and failed FLAIRs; either may be empty.
    card : mapping
        The model's card; `name`, `training`, `results`, `limits` and `license` are shown.
    run : mapping
        Facts of the run (version, command, date, ...), shown as they are.

    Returns
    -------
    Path
        `out`.

    Notes
    -----
    Strings come from datasets and file names: all are escaped, and links are percent-encoded so
    that none can be anything but a relative path.
    """
    html = (
        _environment()
        .get_template("subject.html.j2")
        .render(
            subject=subject, scans=scans, failures=failures, card=card, run=run, max_rows=MAX_ROWS
        )
    )
    write_bytes(out, html.encode())
    return out


def _environment() -> Environment:
    environment = new_environment()
    environment.filters |= {
        "figures": _figures,
        "volume_ml": _volume_ml,
        "warnings_of": _warnings,
    }
    return environment


def _figures(figures: Mapping[str, str]) -> list[tuple[FigureText, str]]:
    """Texts and links in reading order."""
    known = [kind for kind in FIGURES if kind in figures]
    others = [kind for kind in figures if kind not in FIGURES]
    return [
        (FIGURES.get(kind, FigureText(label(kind), "")), figures[kind]) for kind in known + others
    ]


def _volume_ml(component: Mapping[str, Any]) -> float | None:
    if "volume_ml" in component:
        return float(component["volume_ml"])
    return float(component["volume_mm3"]) / 1000 if "volume_mm3" in component else None


def _warnings(scan: ScanReport) -> list[str]:
    """Warnings of the scan and of its facts, each once."""
    return list(dict.fromkeys([*scan.warnings, *scan.facts.get("Warnings", ())]))
