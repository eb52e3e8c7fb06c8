"""Print what CHANGELOG.md says of a release, or why the files do not speak of it yet.

python .ci/release_notes.py v0.1.0
"""

import re
import sys
import tomllib
from pathlib import Path


def main(tag: str) -> int:
    """Compare the files of the current folder with a tag."""
    number = tag.removeprefix("v")
    wrong = []
    citation = Path("CITATION.cff").read_text(encoding="utf-8")
    (cited,) = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    if cited != number:
        wrong.append(f"CITATION.cff has version: {cited}, and the tag is {tag}")
    if not re.search(r"^date-released: ", citation, re.MULTILINE):
        wrong.append("CITATION.cff has no date-released")
    fallback = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    if fallback["version"]["fallback-version"].partition(".dev")[0] != number:
        wrong.append(f"the fallback-version in pyproject.toml is not that of {tag}")
    parts = re.split(r"^## \[(.+?)\](.*)\n", Path("CHANGELOG.md").read_text(), flags=re.MULTILINE)
    notes = {name: text for name, date, text in zip(*[iter(parts[1:])] * 3, strict=True) if date}
    if number not in notes:
        wrong.append(f"CHANGELOG.md has no heading '## [{number}] - DATE'")
    if wrong:
        sys.stderr.write("".join(f"{line}\n" for line in wrong))
        return 1
    sys.stdout.write(notes[number].strip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
