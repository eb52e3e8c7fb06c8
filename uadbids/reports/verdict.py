"""What a reader should know of a scan first: its largest finding, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from uadbids.reports.findings import style_of
from uadbids.reports.layout import millilitres

if TYPE_CHECKING:
    from uadbids.reports.page import ScanReport

_MEANING = {
    "likely": "large and bright enough, and nothing speaks against it.",
    "check": "small or faint; look at it before you count it.",
    "likely-artefact": "probably no lesion",
}


def verdict(scan: ScanReport) -> list[tuple[str, str]]:
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
