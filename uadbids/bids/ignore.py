"""What ``.bidsignore`` leaves out of a dataset, by the rules of ``.gitignore``."""

import re
from collections.abc import Iterable
from pathlib import Path

from uadbids.bids.foreign import read_text


def ignored_by(root: Path, paths: Iterable[Path]) -> set[Path]:
    """Return those of the paths that the ``.bidsignore`` at the root leaves out."""
    try:
        text, _ = read_text(root / ".bidsignore")
    except (OSError, ValueError):
        return set()
    lines = [line.strip() for line in text.splitlines()]
    rules = [
        (line[0] != "!", _pattern(line.removeprefix("!")))
        for line in lines
        if line and line[0] != "#"
    ]
    ignored = set()
    for path in paths:
        name, decided = path.relative_to(root).as_posix(), False
        for ignores, pattern in rules:
            if pattern.match(name):
                decided = ignores
        if decided:
            ignored.add(path)
    return ignored


def _pattern(rule: str) -> re.Pattern[str]:
    """Translate a rule: one with a slash within counts from the root, others at any depth."""
    anywhere = "" if "/" in rule.rstrip("/") else "(?:.*/)?"
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", rule.strip("/"))
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(
        special.get(token, token if token.startswith("[") else re.escape(token)) for token in tokens
    )
    # What lies in a folder that is left out is left out as well.
    return re.compile(rf"{anywhere}{body}(?:/.*|{'$' if not rule.endswith('/') else '/'})")
