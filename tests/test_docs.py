"""What the documentation says of files, modules and headings is there."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs/**", ".", "recipes/**", "containers/registry")
PAGES = sorted(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md"))
DOT = ROOT / "docs" / "figures" / "dataflow.dot"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HOP = re.compile(r"^\d\. \[[^\]]+\]\(\.\./([^)]+)\) `(\w+)`", re.MULTILINE)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(without_code(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_pages_are_reached():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text())
        if not re.match(r"[a-z]+:|#", link)
    }
    assert [page for page in ROOT.glob("docs/**/*.md") if page not in linked] == []


def module_file(name: str) -> Path:
    return ROOT.joinpath(*name.split(".")).with_suffix(".py")


def labels() -> list[str]:
    return [label.replace("\\n", "\n") for label in re.findall(r'label="([^"]+)"', DOT.read_text())]


def test_the_picture_names_modules_that_exist():
    modules = [line for label in labels() for line in label.split("\n") if "uadbids." in line]
    assert len(modules) > 5
    assert [name for name in modules if not module_file(name).is_file()] == []


def test_the_picture_is_made_from_its_source():
    """Another release of graphviz draws otherwise; boxes and arrows are the same."""
    svg = DOT.with_suffix(".svg").read_text()
    drawn = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    assert sorted(drawn) == sorted(line for label in labels() for line in label.split("\n"))
    arrows = re.findall(r"<title>(\w+)&#45;&gt;(\w+)</title>", svg)
    chains = [
        re.split(r"\s*->\s*", chain)
        for chain in re.findall(r"^\s*(\w+(?:\s*->\s*\w+)+);", DOT.read_text(), re.MULTILINE)
    ]
    wanted = [pair for chain in chains for pair in itertools.pairwise(chain)]
    assert sorted(arrows) == sorted(wanted)


def test_the_walk_to_the_written_file_has_at_most_seven_hops():
    hops = HOP.findall((ROOT / "docs" / "architecture.md").read_text())
    assert hops[0][0] == "uadbids/cli/participant.py"
    assert len(hops) <= 7
    for path, name in hops:
        assert re.search(rf"^(def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE), path


def test_the_layers_are_those_that_are_enforced():
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("| layer | holds |\n|---|---|\n")[2].partition("\n\n")[0]
    shown = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    enforced = [layer.split(" | ") for layer in layers if layer != "__main__"]
    assert [sorted(names) for names in shown] == [sorted(names) for names in enforced]
