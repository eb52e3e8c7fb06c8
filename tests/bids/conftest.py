"""Small BIDS datasets made of real, tiny NIfTI files."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from uadbids.bids.names import DERIVATIVES


@pytest.fixture
def save_image() -> Callable[[Path], Path]:
    """Return a function that writes a 4x4x4 image of ones."""

    def save(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(np.ones((4, 4, 4), dtype=np.uint8), np.eye(4))
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return path

    return save


@pytest.fixture
def make_raw(tmp_path: Path, save_image: Callable[[Path], Path]) -> Callable[..., Path]:
    """Return a function: relative image paths -> root of a raw dataset that holds them."""

    def make(*images: str, name: str = "raw", **description: Any) -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        content = {"Name": "Study", "BIDSVersion": "1.10.0", "License": "CC0", **description}
        (root / "dataset_description.json").write_text(json.dumps(content))
        for image in images:
            save_image(root / image)
        return root

    return make


@pytest.fixture
def made_files(tmp_path: Path, save_image: Callable[[Path], Path]) -> Mapping[str, Path]:
    """One finished file for every kind of output."""
    files = {}
    for key, derivative in DERIVATIVES.items():
        files[key] = tmp_path / "work" / f"{key}{derivative.extensions[0]}"
        if derivative.extensions[0] == ".nii.gz":
            save_image(files[key])
        else:
            files[key].write_text("#Insight Transform File V1.0\n")
    return files


@pytest.fixture
def dataset_parts(tmp_path: Path, save_image: Callable[[Path], Path]) -> dict[str, Any]:
    """What `write_dataset` wants besides the two folders."""
    card = {"model": "dense3d", "license": "MIT", "training": {"scans": 3, "sources": ["a", "b"]}}
    return {
        "card": card,
        "template_t1w": save_image(tmp_path / "work" / "t1w.nii.gz"),
        "template_mask": save_image(tmp_path / "work" / "mask.nii.gz"),
    }


@pytest.fixture
def validate() -> Callable[[Path], list[dict[str, Any]]]:
    """Return a function: root of a dataset -> issues that the real BIDS validator finds."""
    beside = Path(sys.executable).with_name("bids-validator-deno")
    program = str(beside) if beside.exists() else shutil.which("bids-validator-deno")
    if program is None:
        pytest.skip("bids-validator-deno is not installed")

    def run(root: Path) -> list[dict[str, Any]]:
        done = subprocess.run([program, str(root), "--json"], capture_output=True, check=False)
        issues: list[dict[str, Any]] = json.loads(done.stdout)["issues"]["issues"]
        return issues

    return run
