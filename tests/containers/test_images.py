"""Dockerfile, Singularity.def and the lock agree with the package and with each other."""

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from uadbids.preproc.hd_bet import BAKED, FILES, weights_sha256

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DEFINITION = (ROOT / "Singularity.def").read_text()
WEIGHTS_SCRIPT = ROOT / "containers" / "hd_bet_weights.py"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.MULTILINE)
    return {canonical(name): version for name, version in found}


LOCK = {path.stem: pins(path) for path in (ROOT / "containers" / "lock").glob("*.txt")}


def section(name: str) -> list[str]:
    text = re.split(r"^%", DEFINITION, flags=re.MULTILINE)
    (body,) = (part for part in text if part.startswith(f"{name}\n"))
    return [line.strip() for line in body.splitlines()[1:] if line.strip()]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_dependency_is_locked_in_the_tested_version(device):
    locked = LOCK["common"] | LOCK[f"torch-{device}"]
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["hd-bet"]
    names = {canonical(re.match(r"[\w.-]+", line)[0]) for line in wanted}
    assert names <= locked.keys()
    tested = pins(ROOT / "constraints.txt")
    differ = {n: v for n, v in tested.items() if locked.get(n, v).removesuffix("+cpu") != v}
    assert differ == {}, "run: containers/lock/make"


def test_cpu_image_gets_no_part_of_cuda():
    assert LOCK["torch-cpu"] == {"torch": LOCK["torch-cuda"]["torch"] + "+cpu"}
    assert [n for n in LOCK["common"] if re.match("nvidia|cuda|triton|torch", n)] == []


def test_images_get_nothing_of_nnunet_that_no_run_uses():
    assert {"simpleitk", "dicom2nifti", "python-gdcm", "imagecodecs"}.isdisjoint(LOCK["common"])


@pytest.mark.parametrize("name", sorted(LOCK))
def test_every_locked_file_has_a_hash_and_no_address(name):
    lines = (ROOT / "containers" / "lock" / f"{name}.txt").read_text().splitlines()
    known = re.compile(r"#.*|\S+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not known.fullmatch(line)] == []
    for line, following in pairwise(lines):
        assert "==" not in line or following.startswith("    --hash")


def test_python_of_the_images_is_one_that_the_package_takes_and_the_lock_is_for():
    (docker,) = re.findall(r"^ARG BASE=(python:\S+)", DOCKERFILE, re.MULTILINE)
    assert f"BASE={docker}" in section("arguments")
    version = re.match(r"python:(3\.\d+)-", docker)[1]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    for path in (ROOT / "containers" / "lock").glob("*.txt"):
        assert f"for Python {version} on x86_64 Linux" in path.read_text().partition("\n")[0]


def test_both_images_start_the_command_of_the_package():
    (entry,) = re.findall(r'^ENTRYPOINT \["(\w+)"\]', DOCKERFILE, re.MULTILINE)
    assert entry in PROJECT["scripts"]
    assert section("runscript") == [f'exec {entry} "$@"']


def test_apptainer_tests_a_read_only_image():
    runs = [line for line in section("test") if " participant " in line]
    assert len(runs) == 1
    assert " /tmp/uadbids-out participant --work-dir /tmp/" in runs[0]


def test_both_images_have_the_same_version_and_give_it_to_the_package():
    (default,) = {line for line in DOCKERFILE.splitlines() if line.startswith("ARG VERSION=")}
    assert default.removeprefix("ARG ") in section("arguments")
    assert 'containers/install app "${VERSION}"' in DOCKERFILE
    assert 'sh containers/install app "{{ VERSION }}"' in section("post")


def test_both_images_have_the_same_environment():
    (block,) = re.findall(r"^ENV (PATH=(?:.*\\\n)+.*)", DOCKERFILE, re.MULTILINE)
    docker = dict(re.findall(r"(\w+)=(\S+)", block.replace("${VERSION}-${DEVICE}", "")))
    exported = [line.removeprefix("export ") for line in section("environment")]
    apptainer = dict(line.split("=", 1) for line in exported if not line.startswith("#"))
    apptainer = {k: v.replace("{{ VERSION }}-{{ DEVICE }}", "") for k, v in apptainer.items()}
    # Apptainer brings the user's home and, by --nv, the driver; Docker no variables of the host.
    del docker["HOME"], docker["NVIDIA_DRIVER_CAPABILITIES"], apptainer["PYTHONPATH"]
    assert docker == apptainer


def test_what_the_images_are_made_of_is_in_the_build_context():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {line[1:] for line in ignored if line.startswith("!")}
    assert names == {line.split()[0] for line in section("files")}
    assert all((ROOT / name).exists() for name in names)


def bake(given: Path, target: Path, sha256: str, url: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, WEIGHTS_SCRIPT, given, url, sha256, target]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "given" / "release_2.0.0"
    for number, name in enumerate(FILES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([number]) * 99)
    return folder


@pytest.mark.parametrize("form", ["folder", "archive", "url"])
def test_weights_are_baked_when_their_hash_is_the_one_asked_for(tmp_path, weights, form):
    given, url = weights.parent, ""
    if form != "folder":
        archive = tmp_path / "archives" / "release.zip"
        archive.parent.mkdir()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("release_2.0.0/../../evil.json", "")
            for name in FILES:
                packed.write(weights / name, f"release_2.0.0/{name}")
        given = archive.parent
    if form == "url":
        given, url = tmp_path / "empty", archive.as_uri()
        given.mkdir()
    target = tmp_path / "image" / "hd-bet"
    done = bake(given, target, weights_sha256(weights), url)
    assert done.returncode == 0, done.stderr
    assert weights_sha256(target) == weights_sha256(weights)
    assert not list(tmp_path.rglob("evil.json"))
    assert all((target / name).stat().st_mode & 0o444 == 0o444 for name in FILES)


@pytest.mark.parametrize("sha256", ["", hashlib.sha256(b"others").hexdigest()])
def test_other_weights_are_refused_with_their_hash(tmp_path, weights, sha256):
    done = bake(weights.parent, tmp_path / "hd-bet", sha256)
    assert done.returncode == 1
    assert weights_sha256(weights) in done.stderr
    assert not [path for path in (tmp_path / "hd-bet").rglob("*") if path.is_file()]


def test_incomplete_weights_are_refused(tmp_path, weights):
    (weights / FILES[1]).unlink()
    done = bake(weights.parent, tmp_path / "hd-bet", "")
    assert done.returncode == 1
    assert "not complete" in done.stderr


def test_without_weights_the_image_says_what_it_takes(tmp_path):
    (tmp_path / "given").mkdir()
    done = bake(tmp_path / "given", tmp_path / "hd-bet", "")
    assert done.returncode == 0
    assert "deepbet" in done.stdout


def test_weights_lie_where_the_package_looks_for_them():
    assert f'"${{HD_BET_SHA256}}" {BAKED}' in DOCKERFILE
    assert str(BAKED) in section("post")
