"""What all pages share: how they are rendered, and how facts are put into words."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from uadbids.bids.facts import LABELS
from uadbids.bids.files import write_bytes

# Shown elsewhere on the page, not in the table of facts.
SHOWN_APART = ("Flags", "StageSeconds", "Warnings")

# Rows of numbers from this length on are shown in short.
_LONG = 6
LAYOUTS = Path(__file__).parent / "templates"


def write_page(
    out: Path, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any
) -> Path:
    """Render a layout, with filters of its own, and write the page.

    Names come from datasets and file names: all are escaped, and links are percent-encoded so
    that none can be anything but a relative path.
    """
    environment = Environment(
        loader=FileSystemLoader(LAYOUTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "label": label,
        "plain": _plain,
        "share": _share,
        "whole": lambda value: "not available" if value is None else f"{round(value)}",
        "ml": millilitres,
        "fact": _fact,
        "facts": ordered_facts,
        "rows": _rows,
        "columns": lambda rows: list(dict.fromkeys(key for _, row in rows for key in row)),
        "in_short": _in_short,
        "link": quote,
        **filters,
    }
    environment.tests |= {"many": _is_many, "map": lambda value: isinstance(value, Mapping)}
    write_bytes(out, environment.get_template(template).render(**values).encode())
    return out


def label(key: object) -> str:
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


def millilitres(value: float | None) -> str:
    """Write a volume with two significant digits, from 10 mL on in whole mL."""
    if value is None:
        return "not available"
    if abs(value) >= 10:
        return f"{value:.0f}"
    short = float(f"{value:.2g}")
    return f"{short:.{1 - math.floor(math.log10(abs(short)))}f}" if short else "0"


def _fact(value: Any, key: str) -> str:
    """Write a fact as its name asks."""
    if key.endswith("Fraction"):
        return _share(value)
    return millilitres(value) if key.endswith("Ml") else _plain(value)


def _share(value: float | None) -> str:
    return "not available" if value is None else f"{100 * value:.0f} %"


def ordered_facts(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Key and value pairs in the order of `LABELS`, then the unknown ones as given."""
    known = [key for key in LABELS if key in values]
    others = [key for key in values if key not in LABELS and key not in SHOWN_APART]
    return [(key, values[key]) for key in known + others]


def _in_short(item: Any) -> Any:
    """Put long rows of numbers, such as the errors of a cohort, into median and range."""
    if isinstance(item, Mapping):
        return {key: _in_short(part) for key, part in item.items()}
    row = isinstance(item, list) and all(isinstance(part, float) for part in item)
    if not row or len(item) < _LONG:
        return item
    ends = f"{_plain(min(item))} to {_plain(max(item))}"
    return f"median {_plain(median(item))}, {ends} ({len(item)} values)"


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
