"""What people thought of the scans of a study: ``ratings.tsv``, which the study's page exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from uadbids.bids.files import json_bytes, tsv_bytes
from uadbids.bids.foreign import read_tsv
from uadbids.errors import UsageError

RATINGS: Mapping[str, str] = {
    "accept": "Looked at and found good",
    "doubt": "Looked at and doubtful; it stays in all figures of the study",
    "reject": "Looked at and found unusable; it is left out of the figures of the study",
}
REJECTED = "reject"
STORED = "group_FLAIR_ratings.tsv"
"""Where the ratings of a study stay in its outputs."""
_COLUMNS = {
    "scan": {"Description": "Scan, by all entities in its name"},
    "rating": {"Description": "What a person thought of its result", "Levels": dict(RATINGS)},
    "note": {"Description": "In words"},
}


class Rating(NamedTuple):
    """Of one scan."""

    rating: str  # of `RATINGS`; empty for a note alone
    note: str = ""


def read_ratings(path: Path) -> dict[str, Rating]:
    """Read a table of ratings, by the names of scans; those without rating and note are left out.

    Columns are ``scan``, ``rating`` and, if wanted, ``note``. UsageError when the file cannot be
    read, a column is missing, or a rating is not one of `RATINGS`.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such table of ratings")
    try:
        rows = read_tsv(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the ratings cannot be read ({error})") from error
    if rows and not {"scan", "rating"} <= rows[0].keys():
        raise UsageError(f"{path}: a table of ratings has the columns scan, rating and note")
    found = {}
    for row in rows:
        rating, note = (_cell(row.get(name)) for name in ("rating", "note"))
        if rating and rating not in RATINGS:
            raise UsageError(
                f"{path}: the rating {rating!r} of {row['scan']} is none of {', '.join(RATINGS)}"
            )
        if rating or note:
            found[row["scan"].strip()] = Rating(rating, note)
    return found


def _cell(text: str | None) -> str:
    words = " ".join((text or "").split())
    return "" if words == "n/a" else words


def rating_tables(ratings: Mapping[str, Rating]) -> dict[str, bytes]:
    """Return the table of ratings and the JSON dictionary of its columns, by name of file."""
    rows = [{"scan": name, **ratings[name]._asdict()} for name in sorted(ratings)]
    return {
        STORED: tsv_bytes(list(_COLUMNS), rows),
        STORED.replace(".tsv", ".json"): json_bytes(_COLUMNS),
    }
