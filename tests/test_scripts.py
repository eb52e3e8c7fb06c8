"""Scripts that no other test runs: what they import is there, and those with flags tell them.

Run as a script, this file tries them all, in one process.
"""

import ast
import contextlib
import io
import json
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "recipes", "recipes/packaged", "boutiques", "containers", "docs/examples")
SCRIPTS = [script for folder in FOLDERS for script in sorted((ROOT / folder).glob("*.py"))]
# Extras that `make test` does not install.
EXTRAS = ("SimpleITK", "openvino")
# They run from their first line.
RUN_ELSEWHERE = ("one_scan.py", "cohort.py", "own_masks.py")


def faults(script: Path) -> list[str]:
    text = script.read_text(encoding="utf-8")
    found = [fault for line in ast.walk(ast.parse(text)) for fault in absent(line)]
    if script.name not in RUN_ELSEWHERE:
        runpy.run_path(str(script))
    if "ArgumentParser" in text and "__main__" in text:
        found += unhelpful(script)
    return found


def absent(line: ast.AST) -> list[str]:
    """Names that a line imports and that are not there, those of imports in functions as well."""
    if not isinstance(line, ast.ImportFrom) or (line.module or "").startswith(EXTRAS):
        return []
    module = import_module(line.module)
    return [
        f"{line.module}.{each.name}"
        for each in line.names
        if not hasattr(module, each.name) and not is_module(f"{line.module}.{each.name}")
    ]


def is_module(name: str) -> bool:
    with contextlib.suppress(ImportError):
        return bool(import_module(name))
    return False


def unhelpful(script: Path) -> list[str]:
    told, sys.argv = io.StringIO(), [script.name, "--help"]
    try:
        with contextlib.redirect_stdout(told):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if not end.code and "usage:" in told.getvalue():
            return []
    return [f"--help says {told.getvalue()!r}"]


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, __file__], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_script_finds_what_it_imports_and_tells_its_flags(found, script):
    assert found[str(script)] == []


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / folder) for folder in (".", *FOLDERS, "tests")]
    results = {}
    for each in SCRIPTS:
        try:
            results[str(each)] = faults(each)
        except ImportError as error:
            results[str(each)] = [str(error)]
    sys.stdout.write(json.dumps(results))
