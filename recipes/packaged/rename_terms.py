"""Write the cards of the packaged bundles with the present names; weights are left as they are.

``python recipes/packaged/rename_terms.py`` was run once, when kinds of residuals got terms of the
field. A card says the same as before; its identity, the ``ModelSHA256`` of outputs, is another.
"""

import json
from pathlib import Path

from uadbids.bids.files import write_bytes
from uadbids.model.bundle import CARD_FILE, packaged_bundles, verify_bundle

RESIDUALS = {"supported": "tfce", "excess": "excess-z"}


def main() -> None:
    """Rewrite the cards, and check each against its weights."""
    for folder in packaged_bundles():
        rename(folder / CARD_FILE)
        print(folder.name, verify_bundle(folder).identity)


def rename(path: Path) -> None:
    """Rewrite one card."""
    text = path.read_text(encoding="utf-8").replace("(nichart, kept back)", "(nichart, test)")
    card = json.loads(text)
    kind = card["detection"]["residual"]
    card["detection"]["residual"] = RESIDUALS.get(kind, kind)
    write_bytes(path, (json.dumps(card, indent=2, allow_nan=False) + "\n").encode())


if __name__ == "__main__":
    main()
