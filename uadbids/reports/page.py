"""The HTML page of one subject: it needs no network, and only its viewer needs a script."""

import tomllib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from uadbids.bids.facts import FACTS
from uadbids.reports.findings import style_of
from uadbids.reports.layout import LAYOUTS, label, millilitres, ordered_facts, write_page
from uadbids.reports.viewer import viewer_script

MAX_ROWS = 30
_DATA = "data:image/svg+xml;base64,"
HEADLINES = tuple(fact.key for fact in FACTS if fact.is_headline)
_MEANING = {
    "likely": "large and bright enough, and nothing speaks against it.",
    "check": "small or faint; look at it before you count it.",
    "likely-artefact": "probably no lesion",
}


@dataclass(frozen=True)
class FigureText:
    """What the page says of one kind of figure; see ``templates/subject.toml``."""

    kind: str  # as in the name of the file
    title: str
    caption: str
    # Names of the two states of a figure that flickers, and of one that shows a map, if any.
    over: str = ""
    under: str = ""
    map: str = ""


@cache
def figure_texts() -> dict[str, FigureText]:
    """Texts of all figures of a scan by kind, in reading order."""
    layout = tomllib.loads((LAYOUTS / "subject.toml").read_text(encoding="utf-8"))
    return {entry["kind"]: FigureText(**entry) for entry in layout["figure"]}


@dataclass(frozen=True)
class ScanReport:
    """Everything the page shows of one FLAIR."""

    name: str  # file name stem, e.g. 'sub-01_ses-1_run-1'; also the anchor on the page
    title: str  # heading, in words
    # Provenance under CamelCase keys, with `StageSeconds` and `Warnings` apart.
    facts: Mapping[str, Any]
    summary: Mapping[str, Any]  # results under CamelCase keys; `ExaminedBrainFraction` in [0, 1]
    components: Sequence[Mapping[str, Any]] = ()  # of `sidecar.COMPONENT_COLUMNS`, largest first
    # Kind (see ``templates/subject.toml``) -> path relative to the page.
    figures: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()  # sentences for the reader
    viewer: str = ""  # JSON of `viewer.write_viewer`; empty for a page without a viewer


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
    methods: str = "",
    single: str = "",
    comparison: str = "",
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
    methods : str
        Methods text in HTML, of `methods.describe_methods`, which has escaped it; none if empty.
    single : str
        Name of the one scan of a page without a dataset around it, to which nothing is linked then.
    comparison : str
        Address of the page on which the sessions are compared; none if empty.
    """
    filters: dict[str, Callable[..., Any]] = {
        "figures": _figures,
        "picture": lambda address: address if address.startswith(_DATA) else quote(address),
        "warnings_of": _warnings,
        "results": _results,
        "quality": _quality,
        "expected": _expected,
        "tag_style": style_of,
        "verdict": _verdict,
        "viewer_data": _viewer_data,
    }
    return write_page(
        out,
        "subject.html.j2",
        filters,
        subject=subject,
        scans=scans,
        failures=failures,
        card=card,
        run=run,
        max_rows=MAX_ROWS,
        methods=Markup(methods),  # noqa: S704 - escaped where it was made
        single=single,
        comparison=comparison,
        brainsprite=Markup(viewer_script()),  # noqa: S704 - a script, of a library
    )


def data_address(figure: Path) -> str:
    """Return a figure as an address that holds it, for a page without files beside it."""
    return _DATA + b64encode(figure.read_bytes()).decode()


def _figures(figures: Mapping[str, str]) -> list[tuple[FigureText, str]]:
    """Texts and links in reading order."""
    texts = figure_texts()
    known = [kind for kind in texts if kind in figures]
    others = [kind for kind in figures if kind not in texts]
    return [
        (texts.get(kind, FigureText(kind, label(kind), "")), figures[kind])
        for kind in known + others
    ]


def _viewer_data(text: str) -> Markup:
    """JSON in a script ends at no tag."""
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - nothing in it is markup now


def _results(scan: ScanReport) -> list[tuple[str, Any]]:
    """Pick what was found, and in how much of the brain: shown large."""
    return [(key, scan.summary[key]) for key in HEADLINES if key in scan.summary]


def _verdict(scan: ScanReport) -> list[tuple[str, str]]:
    """Put the outcome of a scan into sentences: words, and the tag that they name, or nothing."""
    rows = scan.components
    if not rows:
        return [("Nothing was found.", ""), *_doubts(scan)]
    first = rows[0]
    words = [(f"Largest finding: {_place(first)}.", ""), *_tagged(first)]
    if str(first.get("tag")) == "likely-artefact":
        better = next((row for row in rows if row.get("tag") != "likely-artefact"), None)
        if better is None:
            words.append(("All findings are likely artefacts.", ""))
        else:
            words += [(f"The largest that is none: {_place(better)}.", ""), *_tagged(better)]
    return [*words, *_doubts(scan)]


def _place(row: Mapping[str, Any]) -> str:
    place = f", {row['location']}" if row.get("location") else ""
    return f"number {row.get('index', 1)}{place}, {millilitres(row.get('volume_ml'))} mL"


def _tagged(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    tag = str(row.get("tag"))
    if tag not in _MEANING:
        return []
    reason = row.get("reason")
    text = _MEANING[tag]
    if tag == "likely-artefact":
        text += f" ({reason})." if reason not in (None, "", "n/a") else "."
    return [(style_of(row).words, tag), (text, "")]


def _doubts(scan: ScanReport) -> list[tuple[str, str]]:
    """Say whether the scan as a whole can be trusted."""
    flags = scan.facts.get("Flags") or ()
    if not flags:
        return [("No flag speaks against the scan as a whole.", "")]
    return [(f"But the scan as a whole has warnings, see below: {', '.join(map(str, flags))}.", "")]


def _expected(scan: ScanReport) -> str:
    """Compare the volume of a scan with what the method marks in healthy ones."""
    volume, (low, high) = scan.summary["FindingVolumeMl"], scan.summary["ExpectedRangeMl"]
    median = scan.summary["ExpectedFindingMl"]
    text = (
        f"In {scan.summary['ExpectedScans']} scans held out from the model's training, whose known "
        "lesions were filled in (people not proven healthy), the same method marks a median of "
        f"{millilitres(median)} mL ({millilitres(low)} to {millilitres(high)} mL)."
    )
    if volume > high:
        return text
    text += f" The volume of this scan lies {'within' if volume >= low else 'below'} that range"
    if volume > median:
        return f"{text}, above the median: look at the findings one by one."
    # Of a scan that cannot be trusted nothing is concluded.
    return f"{text}." if scan.facts.get("Flags") else f"{text}, no evidence of disease by itself."


def _quality(scan: ScanReport) -> list[tuple[str, Any]]:
    """Pick what else was measured of the scan."""
    shown = (*HEADLINES, "ExpectedFindingMl", "ExpectedRangeMl", "ExpectedScans")
    rest = {key: item for key, item in scan.summary.items() if key not in shown}
    return [(key, item if item != [] else "no") for key, item in ordered_facts(rest)]


def _warnings(scan: ScanReport) -> list[str]:
    """Warnings of the scan and of its facts, each once."""
    return list(dict.fromkeys([*scan.warnings, *scan.facts.get("Warnings", ())]))
