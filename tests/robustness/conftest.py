"""The packaged example, and a run of it that nothing disturbed."""

import shutil
from pathlib import Path

import pytest

from robustness.running import run


@pytest.fixture(scope="session")
def well(tmp_path_factory, example_dataset):
    """A run that nothing disturbed: its folder with ``raw``, ``out`` and ``work``."""
    root = tmp_path_factory.mktemp("well")
    shutil.copytree(example_dataset, root / "raw")
    status, text = run(root / "raw", root / "out", root / "work")
    assert status == 0, text
    return root


@pytest.fixture
def raw(tmp_path, example_dataset):
    return Path(shutil.copytree(example_dataset, tmp_path / "raw"))
