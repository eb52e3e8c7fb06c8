"""What a stranger types from the pages: blocks run as they stand, and all flags are known."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from heads import Head, new_dataset, place, roughly_stripped
from uadbids.cli.app import app
from uadbids.cli.argv import COMMANDS, normalise, translate

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Places in a command line where a reader puts something of their own.
PROGRAM = re.compile(r"uadbids(:.*|\.sif)?")
PLACEHOLDER = re.compile(r"\[flags\]|\[NAME\]|\[MAPS_DIR\]|\.\.\.")


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[list[str]]:
    """Return what is typed after `uadbids` in blocks, whichever program starts it."""
    found = []
    for kind, text in BLOCK.findall(page.read_text()):
        if kind in ("", "sh", "bash"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(PLACEHOLDER.sub("", line), comments=True)
                starts = [
                    n for n, word in enumerate(words) if re.match(r"uadbids(:|\.sif|$)", word)
                ]
                if starts and any(word in COMMANDS for word in words):
                    found.append(words[starts[-1] + 1 :])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_flag_on_the_pages_is_one_of_the_command(page):
    unknown = []
    for typed in commands(page):
        name, *rest = normalise(translate(typed)[0])
        command = typer.main.get_command(app).commands[name]
        known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        flags = {word.partition("=")[0] for word in rest if re.match(r"-{1,2}[a-z]", word)}
        unknown += [(name, flag) for flag in flags - known - {"--help"}]
    assert unknown == []


def test_commands_are_found_on_the_pages():
    assert len(commands(DOCS / "usage.md")) > 5
    assert ["scan", "FLAIR.nii.gz", "report"] in commands(DOCS / "index.md")


@pytest.mark.slow
def test_the_first_five_minutes_go_as_the_start_page_says(tmp_path, example_flair):
    image = place(new_dataset(tmp_path / "my_study"), "01")
    roughly_stripped(image, Head.read(example_flair))
    sidecar = image.with_name(image.name.replace(".nii.gz", ".json"))
    shutil.copy(image, tmp_path / "FLAIR.nii.gz")
    shutil.copy(sidecar, tmp_path / "FLAIR.json")
    one_file, study = (typed(block, tmp_path) for block in blocks(DOCS / "index.md", "bash"))
    assert one_file.split() == [str(tmp_path / "report" / "FLAIR_report.html")]
    assert (tmp_path / "report" / "FLAIR_report.html").stat().st_size > 10_000
    assert "1 of 1 scans would run" in study
    assert (tmp_path / "derivatives" / "group_FLAIR.tsv").read_text().count("\n") == 2


def test_the_tutorial_begins_with_the_packaged_scan(tmp_path):
    where, plan = blocks(DOCS / "tutorial.md", "bash")
    said = typed(where + plan, tmp_path)
    assert "sub-20_ses-2_FLAIR.nii.gz" in said
    assert re.search(r"sub-20_ses-2 +run +FLAIR", said)


@pytest.mark.slow
def test_the_tutorial_reads_tables_that_are_there(example_run, capsys):
    (block,) = blocks(DOCS / "tutorial.md", "python")
    exec(block.replace('"tutorial"', repr(str(example_run.out))), {})
    findings, scans = re.split(r"\n(?= +participant_id)", capsys.readouterr().out)
    assert "sub-20" in findings and "volume_ml" in findings and "sub-20" in scans


def typed(block: str, folder: Path) -> str:
    """Run a block as a shell does that ends at the first failure; return its standard output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pages_of_models_are_those_of_their_cards():
    made = runpy.run_path(str(ROOT / "recipes" / "model_pages.py"))["pages"]()
    there = {path.name: path.read_text() for path in (DOCS / "models").iterdir()}
    assert there == made, "run: python recipes/model_pages.py"


def test_the_frequent_questions_are_twenty():
    numbers = re.findall(r"^\*\*(\d+)\. .+\?\*\*", (DOCS / "faq.md").read_text(), re.MULTILINE)
    assert numbers == [str(n) for n in range(1, 21)]
