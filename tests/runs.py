"""Runs of the program: in a process of their own, or in this one; and what several tests share."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from uadbids.cli import main


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Run(NamedTuple):
    """A finished run of the level `participant`."""

    out: Path
    work: Path
    status: int
    text: str


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "uadbids", *map(str, arguments)]


def uadbids(*arguments: object) -> Done:
    """Run the command line in a process of its own, as a user does."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def examine(dataset: Path, out: Path, work: Path, *flags: object) -> Run:
    done = uadbids(dataset, out, "participant", "-w", work, *flags)
    return Run(out, work, done.returncode, done.stdout + done.stderr)


@pytest.fixture
def here(capsys, monkeypatch) -> Callable[..., Done]:
    """Run the command line in this process, which saves the seconds of its imports."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", os.environ.copy())
            with pytest.raises(SystemExit) as end:
                main([str(argument) for argument in arguments])
        return Done(end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Iterator[Callable[[str, Callable[[Path], object]], Path]]:
    """Let one of pytest's processes fill a folder that tests of all of them look at.

    ``made_once(name, make)`` gives the folder, and ``make(folder)`` is called for the first who
    asks. What it returns is kept as JSON in ``made.json``. No test may write there, and in the end
    it is checked that none did.
    """
    given = set()
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder = base / f"once-{name}"
        with FileLock(f"{folder}.lock"):
            if not (folder / "made.json").exists():
                folder.mkdir()
                (folder / "made.json").write_text(json.dumps(make(folder)))
        given.add(folder)
        return folder

    yield folder_of
    for folder in given:
        made = (folder / "made.json").stat().st_mtime_ns
        written = [path for path in folder.rglob("*") if path.lstat().st_mtime_ns > made]
        assert written == [], f"a test has written to {written}"


def examined_once(made_once, name: str, dataset: Callable[[Path], Path], *flags: object) -> Run:
    """Run `participant` once for all tests; ``dataset(folder)`` gives what it is run on."""

    def make(folder: Path) -> tuple[int, str]:
        run = examine(dataset(folder), folder / "out", folder / "work", *flags)
        return run.status, run.text

    folder = made_once(name, make)
    return Run(folder / "out", folder / "work", *json.loads((folder / "made.json").read_text()))


@pytest.fixture(scope="session")
def example_run(made_once, example_dataset: Path) -> Run:
    """The packaged example, whole, as a user has it examined. Only to be looked at."""
    return examined_once(made_once, "example", lambda _: example_dataset)
