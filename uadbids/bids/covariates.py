"""What a dataset says of its participants, to sort, filter and colour a study by."""

from dataclasses import dataclass
from pathlib import Path

from uadbids.bids.foreign import age_in_years, read_json, read_tsv

# Other columns may name a person, or hold what nobody asked for.
_NAMES = ("age", "sex", "group", "site", "diagnosis", "scanner", "cohort")
_MISSING = ("", "n/a", "nan", "none")


@dataclass(frozen=True)
class Covariate:
    """One column of ``participants.tsv``."""

    name: str  # heading, in lower case
    values: dict[str, float | str]  # of the participants, with ``sub-``, that have one

    @property
    def is_number(self) -> bool:
        """Whether all values are numbers."""
        return all(isinstance(value, float) for value in self.values.values())


def read_covariates(bids_dir: Path) -> list[Covariate]:
    """Read covariates of ``participants.tsv``, those that are there; ages above 89 are 89."""
    try:
        rows = read_tsv(bids_dir / "participants.tsv")
    except (OSError, ValueError):
        return []
    units = _age_units(bids_dir)
    found = []
    for name in _NAMES:
        texts = {row.get("participant_id", ""): _text(row, name, units) for row in rows}
        known = {who: text for who, text in texts.items() if who and text is not None}
        if known:
            found.append(Covariate(name, _as_numbers(known)))
    return found


def _age_units(bids_dir: Path) -> str:
    columns = read_json(bids_dir / "participants.json").items()
    ages = [value for key, value in columns if key.casefold() == "age" and isinstance(value, dict)]
    return str(ages[0].get("Units", "year")) if ages else "year"


def _text(row: dict[str, str], name: str, units: str) -> str | None:
    cell = next((cell.strip() for key, cell in row.items() if key.casefold() == name), "")
    if name == "age":
        return age_in_years(cell, units)
    return None if cell.casefold() in _MISSING else cell


def _as_numbers(texts: dict[str, str]) -> dict[str, float | str]:
    try:
        return {who: float(text) for who, text in texts.items()}
    except ValueError:
        return {**texts}
