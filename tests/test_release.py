"""One version everywhere: that of the tag, else what the files say of the next release."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

import uadbids

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FALLBACK = PROJECT["tool"]["hatch"]["version"]["fallback-version"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_files_name_the_same_next_release():
    assert Version(FALLBACK).base_version == CITATION["version"]
    assert f"ARG VERSION={FALLBACK}\n" in (ROOT / "Dockerfile").read_text()
    assert f"VERSION={FALLBACK}\n" in (ROOT / "Singularity.def").read_text()


def test_the_package_says_the_version_that_is_installed():
    assert uadbids.__version__ == version("uadbids")


def test_the_changelog_has_its_form_and_is_short():
    releases = re.findall(r"^## \[([^]]+)\](.*)$", CHANGELOG, re.MULTILINE)
    assert releases[0] == ("Unreleased", "")
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in releases[1:])
    assert {*re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)} <= KINDS
    entries = re.split(r"^- ", CHANGELOG, flags=re.MULTILINE)[1:]
    # Reasons and figures have a place of their own: docs/decisions.
    assert [entry for entry in entries if len(entry.partition("\n\n")[0]) > 400] == []


def test_a_release_is_refused_unless_all_files_speak_of_it(tmp_path):
    for name in ("CITATION.cff", "CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    said = release("v0.1.0", tmp_path)
    assert said.returncode == 1
    assert "CHANGELOG.md has no heading '## [0.1.0] - DATE'" in said.stderr
    assert "CITATION.cff has no date-released" in said.stderr
    dated = CHANGELOG.replace("## [Unreleased]", "## [Unreleased]\n\n## [0.1.0] - 2030-01-02")
    (tmp_path / "CHANGELOG.md").write_text(dated)
    undated = (ROOT / "CITATION.cff").read_text()
    dated = undated.replace("# date-released: YYYY-MM-DD", "date-released: 2030-01-02")
    (tmp_path / "CITATION.cff").write_text(dated)
    said = release("v0.1.0", tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("The first release") and "### Added" in said.stdout
    assert "version: 0.1.0, and the tag is v0.2.0" in release("v0.2.0", tmp_path).stderr


def release(tag: str, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / ".ci" / "release_notes.py", tag]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_recipes_for_registries_are_those_of_the_program():
    folder = ROOT / "containers" / "registry"
    neurodesk = yaml.safe_load((folder / "neurodesk.yaml").read_text())
    (app,) = yaml.safe_load((folder / "bids-apps.yml").read_text())
    assert f"ARG BASE={neurodesk['build']['base-image']}\n" in (ROOT / "Dockerfile").read_text()
    assert app["license"] == PROJECT["project"]["license"] == neurodesk["copyright"][0]["license"]
    assert neurodesk["build"]["directives"][1]["deploy"]["bins"] == [*PROJECT["project"]["scripts"]]


# --- what is built


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A Person", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def build(folder: Path, kind: str) -> Path:
    """Build without a network: the tools are those of this environment."""
    code = f"import hatchling.build as b; print(b.build_{kind}('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "dist" / done.stdout.split()[-1]


@pytest.fixture
def tree(tmp_path):
    """Return the tree without git, and with a model's weights in place of all."""
    folder = tmp_path / "tree"
    skip = shutil.ignore_patterns("__pycache__", "bundles", "_version.py")
    shutil.copytree(ROOT / "uadbids", folder / "uadbids", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    (folder / ".gitignore").write_text("dist/\n")
    return folder


def test_without_git_a_wheel_has_the_fallback_version(tree):
    assert build(tree, "wheel").name == f"uadbids-{FALLBACK}-py3-none-any.whl"


def test_a_tag_is_the_version_and_the_sdist_builds_the_same_wheel(tree, tmp_path):
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "All")
    assert build(tree, "wheel").name.startswith(f"uadbids-{CITATION['version']}.dev1+g")
    git(tree, "tag", "v3.2.1")
    wheel, sdist = build(tree, "wheel"), build(tree, "sdist")
    assert wheel.name == "uadbids-3.2.1-py3-none-any.whl"
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    again = build(tmp_path / "uadbids-3.2.1", "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {n: first.read(n) for n in first.namelist()} == {
            n: second.read(n) for n in second.namelist()
        }
