"""The HTML page of one subject: a single file that needs neither network nor script."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from uadbids.bids.files import write_bytes

# Known facts in reading order, with words a reader understands; others follow under their own name.
LABELS = {
    "LesionVolumeMl": "Lesion volume (ml)",
    "LesionCount": "Lesions",
    "BrainVolumeMl": "Brain volume (ml)",
    "ExaminedBrainFraction": "Brain examined",
    "RegistrationOverlap": "Overlap with template (Dice)",
    "SourceVoxelSizeMm": "Voxel size (mm)",
    "UadbidsVersion": "uadbids",
    "Model": "Model",
    "ModelSHA256": "Model SHA-256",
    "Threshold": "Threshold",
    "ThresholdSource": "Threshold comes from",
    "ResidualKind": "Residual",
    "BrainMaskMethod": "Brain mask by",
    "Device": "Device",
    "RandomSeed": "Random seed",
}
# Shown elsewhere on the page, not in the table of facts.
SHOWN_APART = ("StageSeconds", "Warnings")
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


def new_environment() -> Environment:
    """Return what renders the layouts of all pages.

    Names come from datasets and file names: all are escaped.
    """
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _environment() -> Environment:
    environment = new_environment()
    environment.filters |= {
        "label": _label,
        "plain": _plain,
        "share": _share,
        "whole": _whole,
        "facts": _facts,
        "figures": _figures,
        "rows": _rows,
        "columns": _columns,
        "volume_ml": _volume_ml,
        "link": quote,
        "warnings_of": _warnings,
    }
    environment.tests |= {"many": _is_many, "map": lambda value: isinstance(value, Mapping)}
    return environment


def _label(key: object) -> str:
    """Words for a key: from the table, else 'VoxelCount' and 'voxel_count' as 'Voxel count'."""
    text = str(key)
    if text in LABELS:
        return LABELS[text]
    # Split before a capital that starts a word; runs of capitals such as SHA stay together.
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).replace("_", " ").split()
    # Names such as open-ms stay as they are written; only keys in camel or snake case are words.
    lowered = [word if word.isupper() else word.lower() for word in words]
    joined = " ".join(lowered) if len(words) > 1 else text
    return joined[:1].upper() + joined[1:] if len(words) > 1 or text.isidentifier() else text


def _plain(value: object) -> str:
    """Write a number with three digits, a truth value or nothing in words, text as it is."""
    if value is None or value == "":
        return "not available"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _share(value: float | None) -> str:
    return "not available" if value is None else f"{100 * value:.0f} %"


def _whole(value: float | None) -> str:
    return "not available" if value is None else f"{round(value)}"


def _facts(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Key and value pairs in the order of `LABELS`, then the unknown ones as given."""
    known = [key for key in LABELS if key in values]
    others = [key for key in values if key not in LABELS and key not in SHOWN_APART]
    return [(key, values[key]) for key in known + others]


def _figures(figures: Mapping[str, str]) -> list[tuple[FigureText, str]]:
    """Texts and links in reading order."""
    known = [kind for kind in FIGURES if kind in figures]
    others = [kind for kind in figures if kind not in FIGURES]
    return [
        (FIGURES.get(kind, FigureText(_label(kind), "")), figures[kind]) for kind in known + others
    ]


def _is_many(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _rows(value: object) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows (name, cells) of what is best read as a table, else none.

    That is a mapping or a sequence whose members are all flat mappings.
    """
    if isinstance(value, Mapping):
        rows = [(str(key), row) for key, row in value.items()]
    else:
        rows = [("", row) for row in value] if isinstance(value, Sequence) else []
    return rows if all(_is_flat(row) for _, row in rows) else []


def _is_flat(row: object) -> bool:
    return isinstance(row, Mapping) and not any(
        isinstance(cell, Mapping) or _is_many(cell) for cell in row.values()
    )


def _columns(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(column for _, row in rows for column in row))


def _volume_ml(component: Mapping[str, Any]) -> float | None:
    if "volume_ml" in component:
        return float(component["volume_ml"])
    return float(component["volume_mm3"]) / 1000 if "volume_mm3" in component else None


def _warnings(scan: ScanReport) -> list[str]:
    """Warnings of the scan and of its facts, each once."""
    return list(dict.fromkeys([*scan.warnings, *scan.facts.get("Warnings", ())]))
