"""Terms of the field, not words of our own (docs/glossary.md)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Word, or words that mean the same -> what to write.
INSTEAD = {
    r"homes?": "native space",
    r"supported": "TFCE-enhanced; or 'possible', 'accepted'",
    r"spreads? of the scan's own tissue": "MAD-scaled robust z",
    r"skirts?|ends_at": "half-maximum boundary",
    r"rims?": "brain-mask boundary",
    r"second look|lumps?|without_doubtful": "mirror-consistency check; blob",
    r"told|tells": "reported, logs, recorded, metadata",
    r"heads_of": "subject groups",
    r"lots?|strangers?|kept[ _]back": "batch, unexpected scans, held out",
    r"ill": "lesion tissue",
    r"floors?|rooms?|zoo|animals?": "layers, packages, robustness suite, cases; lower bound, space",
}
# What is meant otherwise, and what it is.
ALLOWED = {
    r"\$HOME|_HOME\b|--no-home": "variables, and an option of Apptainer",
    r"\{ Home: 0, End\b": "a key of the keyboard",
    r"(?:np|math|Math)\.floor\(": "functions",
}
# Periventricular rims and caps are what radiology calls them.
ANATOMY = re.compile(r"uadbids/synthesis/|docs/synthesize\.md")
ENDINGS = {".py", ".md", ".j2", ".js", ".css", ".toml", ".json", ".tsv", ".html"}
PLACES = ["uadbids", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]


def files(place: str) -> Iterator[Path]:
    path = ROOT / place
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    # The example is the data of others.
    return (p for p in found if p.suffix in ENDINGS and "data/example" not in p.as_posix())


def words(pattern: str) -> re.Pattern[str]:
    """Whole words, also as a part of a name with underscores."""
    return re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.IGNORECASE)


@pytest.mark.parametrize("place", PLACES)
def test_terms_of_the_field_are_used(place):
    found = []
    for path in files(place):
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            rest = re.sub("|".join(ALLOWED), "", line)
            found += [
                f"{name}:{number}: {word.group()!r}: write {instead}"
                for pattern, instead in INSTEAD.items()
                if not ("rims?" in pattern and ANATOMY.match(name))
                for word in words(pattern).finditer(rest)
            ]
    assert found == []


@pytest.mark.parametrize("line", ["carry_home(x)", "It tells.", "a lot", "without_doubtful", "Rim"])
def test_the_test_finds_words(line):
    assert any(words(pattern).search(line) for pattern in INSTEAD)


@pytest.mark.parametrize("line", ["plot", "trim", "still", "floored", "allot", "homeostasis"])
def test_the_test_spares_other_words(line):
    assert not any(words(pattern).search(line) for pattern in INSTEAD)
