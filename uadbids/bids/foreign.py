"""Texts and tables that other people's programs wrote: read as far as they can be read."""

import codecs
import csv
import io
import json
import re
from pathlib import Path
from typing import Any, Literal

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A text in quotes is taken whole, so that a comma in it stays.
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_OLDEST_YEARS = 89
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
_AGE = re.compile(
    r"(?P<over>>=?|≥)?\s*(?P<number>\d+(?:[.,]\d+)?)\s*(?P<plus>\+)?\s*"
    r"(?P<unit>y|yrs?|years?|m|mos?|months?|w|wks?|weeks?|d|days?)?(?: old)?\.?",
    re.IGNORECASE,
)


def read_text(path: Path) -> tuple[str, str]:
    """Decode a text file; return the text, and the encoding where it is not UTF-8.

    Without a mark at its beginning, what is not UTF-8 is taken for Windows' Western encoding.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")  # a pipe would be waited for without end
    content = path.read_bytes()
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding), "" if encoding == "utf-8-sig" else encoding.upper()
    if b"\0" in content[:2]:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
        return content.decode(encoding), "UTF-16"
    try:
        return content.decode(), ""
    except UnicodeDecodeError:
        # Five bytes have no meaning there.
        return content.decode("cp1252", errors="replace"), "Latin-1"


def load_json(path: Path) -> tuple[Any, str]:
    """Read JSON that may be anybody's; return it, and what is wrong with it, a clause.

    OSError or ValueError if it cannot be read. An empty file is an empty object.
    """
    text, encoding = read_text(path)
    wrong = [f"it is in {encoding}, not UTF-8"] if encoding else []
    if not text.strip():
        return {}, "it is empty"
    try:
        content = _parsed(text, wrong)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
    return content, " and ".join(wrong)


def _parsed(text: str, wrong: list[str]) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        first = error
    without = _TRAILING_COMMA.sub(lambda match: match[1] or "", text)
    try:
        content = json.loads(without, strict=False)
    except ValueError:
        raise first from None
    wrong.append("it has commas before brackets" if without != text else "")
    try:
        json.loads(without)
    except ValueError:
        wrong.append("it has line breaks or tabs in a text")
    wrong[:] = filter(None, wrong)
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that may be anybody's, or an empty one where there is none."""
    try:
        content, _ = load_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a BIDS table that may be anybody's; none when the file is missing.

    BIDS knows no quotes; those of spreadsheets are taken off. One that is not closed stays a
    character of its cell. The first column of a table of participants may be spelt in any case.
    """
    try:
        text, _ = read_text(path)
    except FileNotFoundError:
        return []
    lines = _cells(text, csv.QUOTE_MINIMAL)
    if lines is None:
        lines = [[_bare(cell) for cell in row] for row in _cells(text, csv.QUOTE_NONE) or ()]
    if not lines:
        return []
    head = [_heading(cell) for cell in lines[0]]
    rows = [
        {name: line[i] if i < len(line) else "" for i, name in enumerate(head)}
        for line in lines[1:]
        if any(cell.strip() for cell in line)
    ]
    for row in rows:
        if label := row.get("participant_id", "").strip():
            row["participant_id"] = label if label.startswith("sub-") else f"sub-{label}"
    return rows


def _heading(cell: str) -> str:
    plain = re.sub(r"[ -]", "_", cell.strip()).casefold()
    return plain if plain == "participant_id" else cell.strip()


def _bare(cell: str) -> str:
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _cells(text: str, quoting: Literal[0, 3]) -> list[list[str]] | None:
    """Split a table; None where quotes do not come in pairs within a line."""
    try:
        rows = list(csv.reader(io.StringIO(text, ""), delimiter="\t", quoting=quoting, strict=True))
    except csv.Error:
        return None
    return None if any("\n" in cell or "\r" in cell for row in rows for cell in row) else rows


def age_in_years(text: str | None, units: str = "year") -> str | None:
    """Understand an age, and cap it at 89, as BIDS wants: higher ones may identify a person.

    ``095Y``, ``92,5``, ``93 years``, ``1140M`` (DICOM) and ``>89`` are understood; None is
    returned for anything else. ``units`` holds for a plain number.
    """
    match = _AGE.fullmatch((text or "").strip())
    default = _AGE.fullmatch(f"1 {units}".strip())
    if match is None or default is None:
        return None
    number = match["number"].replace(",", ".")
    unit = (match["unit"] or default["unit"] or "y")[0].lower()
    years = float(number) * _YEARS[unit]
    if years > _OLDEST_YEARS or (years == _OLDEST_YEARS and (match["over"] or match["plus"])):
        return str(_OLDEST_YEARS)
    if match["over"] or match["plus"]:
        return None
    return number if number == match[0] and unit == "y" else f"{years:.4g}"
