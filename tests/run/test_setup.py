"""What a run needs of its surroundings, checked before it begins."""

import subprocess
import sys
import tempfile

import pytest
import torch

from uadbids.errors import DeviceError, UsageError
from uadbids.run import setup
from uadbids.run.options import RunOptions


def test_without_a_gpus_device_file_torch_is_not_asked():
    code = (
        "import sys\nfrom uadbids.run import setup\nsetup._GPUS = ('no-such-device',)\n"
        "assert setup._device('auto') == setup._device('cpu') == 'cpu'\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_with_one_torch_decides(monkeypatch):
    monkeypatch.setattr(setup, "_GPUS", ("null",))
    assert setup._device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(DeviceError):
        setup._device(name)


@pytest.mark.parametrize("length", [75, 76])
def test_temporary_folders_too_deep_for_sockets_are_refused(tmp_path, monkeypatch, length):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/".ljust(length, "x"))
    asked = RunOptions(tmp_path / "work", skull_strip="none", device="cpu")
    if length > 75:
        with pytest.raises(UsageError, match="name a shorter one by TMPDIR"):
            setup.prepare_run(asked, tmp_path / "raw", is_dry=True)
    else:
        assert setup.prepare_run(asked, tmp_path / "raw", is_dry=True).device == "cpu"


@pytest.mark.parametrize(
    ("asked", "scans", "threads"),
    [
        ({"nprocs": 4}, 1, 4),
        ({"nprocs": 4}, 2, 2),
        ({"nprocs": 4}, 3, 1),
        ({"nprocs": 4}, 40, 1),
        ({"nprocs": 4}, 0, 4),
        ({"nprocs": 64}, 1, 8),
        ({"nprocs": 4, "omp_nthreads": 1}, 1, 1),
        ({"nprocs": 1, "omp_nthreads": 6}, 9, 6),
        ({"nprocs": 4, "use_plugin": "plugin.yml"}, 1, 1),
    ],
)
def test_cpus_that_no_other_scan_needs_are_threads(asked, scans, threads, tmp_path):
    run = RunOptions(tmp_path, **asked)
    assert run.compute.threads == asked.get("omp_nthreads", 1)
    assert run.for_scans(scans).compute.threads == threads
