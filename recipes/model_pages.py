"""Write docs/models: a page for each packaged model, from its card, and one that lists them.

python recipes/model_pages.py [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from uadbids.model.bundle import packaged_bundles, verify_bundle
from uadbids.model.calibration import Calibration
from uadbids.model.card import Card
from uadbids.run.models import thresholds

HERE = Path(__file__).parent
FOLDER = HERE.parent / "docs" / "models"
DEFAULT = "dense3d"
SETS = ("MS (isbi-ms)", "tumours (brats2013)", "WMH (nichart, test)")


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    loader = FileSystemLoader(HERE)
    # Markdown, which needs no escapes of HTML.
    texts = Environment(
        loader=loader, trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    cards = [(verify_bundle(folder), folder) for folder in packaged_bundles()]
    cards.sort(key=lambda pair: pair[0].name != DEFAULT)
    listed = [(card, dice(card)) for card, _ in cards]
    made = {"README.md": texts.get_template("models.md.j2").render(cards=listed)}
    for card, folder in cards:
        calibration = Calibration.from_dict(card.calibration)
        made[f"{card.name}.md"] = texts.get_template("model.md.j2").render(
            card=card,
            default=calibration.threshold(card.detection.false_positive_rate),
            thresholds=thresholds(calibration),
            tables={k: table(v) for k, v in card.results.items() if isinstance(v, dict)},
            files=[
                (name, (folder / name).stat().st_size / 1e6, of.sha256)
                for name, of in (("weights.safetensors", card), ("reader.safetensors", card.reader))
                if of is not None
            ],
        )
    return made


def dice(card: Card) -> list[str]:
    """Return what the card says of the default map on three sets."""
    figures = card.results["this model"]
    key = "Dice, label-free" if card.reader else f"Dice at {card.detection.false_positive_rate}"
    return [f"{figures[name][key]:.2f}" for name in SETS]


def table(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return columns and rows; what was not measured on a set is a dash."""
    columns = list(dict.fromkeys(key for figures in sets.values() for key in figures))
    rows = [
        (name, ["-" if key not in figures else f"{figures[key]:g}" for key in columns])
        for name, figures in sets.items()
    ]
    return {"columns": columns, "rows": rows}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (target / name).write_text(text, encoding="utf-8")
