"""The device of a run, found without torch where there is no GPU."""

import subprocess
import sys

import pytest
import torch

from uadbids.errors import DeviceError
from uadbids.run import setup


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
