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


def bosh(*arguments: str) -> subprocess.CompletedProcess:
    program = Path(sys.executable).with_name("bosh")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def simulate(tmp_path: Path, **values) -> list[str]:
    """Return the command line that Boutiques makes of values, or raise."""
    (tmp_path / "invocation.json").write_text(json.dumps(values))
    done = bosh("exec", "simulate", str(DESCRIPTOR), "-i", str(tmp_path / "invocation.json"))
    if done.returncode:
        raise ValueError(done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1].split()


def test_descriptor_is_valid():
    done = bosh("validate", str(DESCRIPTOR))
    assert done.returncode == 0, done.stdout + done.stderr


def test_descriptor_is_up_to_date():
    spec = spec_from_file_location("make_descriptor", ROOT / "boutiques" / "make_descriptor.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert json.loads(DESCRIPTOR.read_text()) == module.descriptor(), (
        "run: python boutiques/make_descriptor.py > boutiques/uadbids.json"
    )


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
