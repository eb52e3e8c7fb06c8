"""The Boutiques descriptor is that of the command line, and what it makes is understood."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from uadbids.cli import main

ROOT = Path(__file__).parents[2]
DESCRIPTOR = ROOT / "boutiques" / "uadbids.json"
EVERY = sorted((ROOT / "boutiques").glob("*.json"))


def bosh(*arguments: str) -> subprocess.CompletedProcess:
    program = Path(sys.executable).with_name("bosh")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def simulate(tmp_path: Path, descriptor: Path = DESCRIPTOR, **values) -> list[str]:
    """Return the command line that Boutiques makes of values, or raise."""
    (tmp_path / "invocation.json").write_text(json.dumps(values))
    done = bosh("exec", "simulate", str(descriptor), "-i", str(tmp_path / "invocation.json"))
    if done.returncode:
        raise ValueError(done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1].split()


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_descriptor_is_valid(path):
    done = bosh("validate", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_descriptors_are_up_to_date():
    spec = spec_from_file_location("make_descriptor", ROOT / "boutiques" / "make_descriptor.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    there = {path.name: json.loads(path.read_text()) for path in EVERY}
    assert there == module.descriptors(), "run: python boutiques/make_descriptor.py"


def test_what_is_on_by_default_is_switched_off(tmp_path):
    folders = {"bids_dir": "/data", "output_dir": "/out"}
    typed = simulate(tmp_path, **folders, analysis_level="participant", keep_artefacts=True)
    assert typed[-1] == "--drop-artefacts"
    train = DESCRIPTOR.with_name("uadbids-train.json")
    typed = simulate(tmp_path, train, **folders, augment=True, steps=100)
    assert typed == ["uadbids", "train", "/data", "/out", "--steps", "100", "--no-augment"]


def test_one_file_is_examined_as_described(tmp_path, example_flair, capsys):
    scan = DESCRIPTOR.with_name("uadbids-scan.json")
    values = {"inputs": [str(example_flair)], "output_dir": str(tmp_path / "out")}
    program, *arguments = simulate(tmp_path, scan, **values, model="absent")
    assert program == "uadbids"
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "absent" in capsys.readouterr().err


def test_simulated_command_line_runs(tmp_path, example_dataset, capsys):
    program, *arguments = simulate(
        tmp_path,
        bids_dir=str(example_dataset),
        output_dir=str(tmp_path / "out"),
        analysis_level="participant",
        participant_label=["20", "sub-20"],
        session_label=["2"],
        nprocs=2,
        min_size_mm3=12.5,
        false_positive_rate=0.001,
        skull_strip="deepbet",
        work_dir=str(tmp_path / "work"),
        dry_run=True,
    )
    assert program == "uadbids"
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert "1 of 1 scans would run" in capsys.readouterr().out


def test_group_level_is_understood(tmp_path):
    arguments = simulate(tmp_path, bids_dir="/data", output_dir="/out", analysis_level="group")
    assert arguments == ["uadbids", "/data", "/out", "group"]
