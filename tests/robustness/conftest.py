"""A small scan, and a run of it that nothing disturbed."""

import shutil
from pathlib import Path

import pytest

from heads import Head, new_dataset, roughly_stripped
from robustness.running import flair, run


@pytest.fixture(scope="session")
def small(tmp_path_factory, example_flair) -> Path:
    """Dataset of the example at half its resolution, without skull. Not to be written to."""
    root = new_dataset(tmp_path_factory.mktemp("small") / "raw")
    flair(root).parent.mkdir(parents=True)
    roughly_stripped(flair(root), Head.read(example_flair))
    return root


@pytest.fixture(scope="session")
def well(small, tmp_path_factory):
    """A run that nothing disturbed: its folder with ``raw``, ``out`` and ``work``."""
    root = tmp_path_factory.mktemp("well")
    shutil.copytree(small, root / "raw")
    status, text = run(root / "raw", root / "out", root / "work")
    assert status == 0, text
    return root


@pytest.fixture
def raw(tmp_path, small):
    return Path(shutil.copytree(small, tmp_path / "raw"))


@pytest.fixture
def whole(tmp_path, example_dataset):
    """The packaged example as it is, with its skull."""
    return Path(shutil.copytree(example_dataset, tmp_path / "whole"))
