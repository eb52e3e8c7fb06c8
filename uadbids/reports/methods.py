"""The words for the paper: what was done to these scans, with references."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from uadbids.detection.residuals import RESIDUALS
from uadbids.reports.layout import LAYOUTS

_CITATION = re.compile(r"\[@(\w+)\]")
_BIBTEX = ("author", "title", "journal", "booktitle", "year", "volume", "number", "pages", "doi")


class MethodsText(NamedTuple):
    """One text in three forms."""

    markdown: str  # with citations for pandoc: ``[@lambert2021]``
    html: str  # paragraphs and a list of references, escaped
    bibtex: str  # the works that it cites


def describe_methods(
    version: str, card: Mapping[str, Any], scans: Sequence[Mapping[str, Any]]
) -> MethodsText:
    """Write the methods section of a paper about these scans, ready to paste.

    The version is that of uadbids, the card the model's; scans are the sidecars of the finished
    ones: where they differ, all values are named. Without a scan: what the model's defaults do.
    """
    detection = card["detection"]
    examined = [scan["ExaminedBrainFraction"] for scan in scans if "ExaminedBrainFraction" in scan]
    shares = sorted({round(100 * share) for share in examined})
    residual = _all(scans, "ResidualKind", detection["residual"])
    environment = Environment(
        loader=FileSystemLoader(LAYOUTS),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown; `_html` escapes
    )
    text = environment.get_template("methods.md.j2").render(
        version=version,
        brain=_all(scans, "BrainMaskMethod", "deepbet"),
        preproc=card["preproc"],
        model=card,
        examined=f"{shares[0]} and {shares[-1]} %" if shares else "some and all",
        residual=residual,
        kind=RESIDUALS.get(residual),
        threshold=_all(scans, "Threshold", "calibrated"),
        source=_all(scans, "ThresholdSource", "the model's default"),
        smallest=_all(scans, "MinVolumeMm3", detection["min_volume_mm3"]),
    )
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    cited = list(dict.fromkeys(_CITATION.findall(text)))
    return MethodsText("\n\n".join(paragraphs) + "\n", _html(paragraphs, cited), _bibtex(cited))


def methods_page(methods: MethodsText) -> str:
    """Put the text on a page of its own, in HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Methods</title></head>\n"
        f"<body>\n{methods.html}</body></html>\n"
    )


def _all(scans: Sequence[Mapping[str, Any]], key: str, default: Any) -> str:
    found = sorted({f"{scan[key]:g}" if isinstance(scan[key], float) else str(scan[key])
                    for scan in scans if scan.get(key) is not None})  # fmt: skip
    return ", ".join(found) if found else str(default)


@cache
def _references() -> dict[str, dict[str, str]]:
    return tomllib.loads((LAYOUTS / "references.toml").read_text(encoding="utf-8"))


def _short(key: str) -> str:
    """First author and year, as in running text."""
    work = _references()[key]
    names = [author.split(",")[0] for author in work["author"].split(" and ")]
    others = " et al." if len(names) > 2 else "".join(f" and {name}" for name in names[1:])
    return f"{names[0]}{others}, {work['year']}"


def _html(paragraphs: Sequence[str], cited: Sequence[str]) -> str:
    body = "".join(
        f"<p>{_CITATION.sub(lambda found: f'({_short(found[1])})', escape(part))}</p>\n"
        for part in paragraphs
    )
    works = "".join(f"<li>{escape(_full(_references()[key]))}</li>\n" for key in sorted(cited))
    return f"{body}<ul>\n{works}</ul>\n"


def _full(work: Mapping[str, str]) -> str:
    authors = work["author"].replace(" and others", " et al.").replace(" and ", "; ")
    where = work.get("journal") or work.get("booktitle", "")
    place = " ".join(filter(None, [where, work.get("volume"), work.get("pages")]))
    doi = f" doi:{work['doi']}" if "doi" in work else ""
    return f"{authors} ({work['year']}). {work['title']}. {place.replace('--', '-')}.{doi}"


def _bibtex(cited: Sequence[str]) -> str:
    entries = []
    for key in sorted(cited):
        work = _references()[key]
        lines = [f"  {name} = {{{work[name]}}}," for name in _BIBTEX if name in work]
        entries.append("\n".join([f"@{work['type']}{{{key},", *lines, "}"]))
    return "\n\n".join(entries) + "\n"
