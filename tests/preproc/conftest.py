"""Small scans with any header, and the packaged example scan, prepared once."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# ITK reads these at its first call; registration and N4 differ from run to run without them.
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
os.environ["ANTS_RANDOM_SEED"] = "42"

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.brain_mask import extract_brain
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import conform
from uadbids.preproc.template import Template


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an image with the affine and codes that are asked for."""

    def write(
        data: np.ndarray,
        affine: np.ndarray | None = None,
        *,
        name: str = "scan.nii",
        qform: np.ndarray | None = None,
        codes: tuple[int, int] = (1, 1),
    ) -> Path:
        affine = np.eye(4) if affine is None else affine
        image = nib.Nifti1Image(data, affine)
        image.set_qform(affine if qform is None else qform, code=codes[0])
        image.set_sform(affine, code=codes[1])
        image.to_filename(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def rewrite_header() -> Callable[..., None]:
    """Return a function that sets raw fields in the header of an uncompressed file, unchecked."""

    def rewrite(path: Path, **fields: Any) -> None:
        raw = path.read_bytes()
        header = nib.Nifti1Header(raw[:348], check=False)
        for name, value in fields.items():
            header[name] = value
        path.write_bytes(header.binaryblock + raw[348:])

    return rewrite


@pytest.fixture
def affine_of() -> Callable[..., np.ndarray]:
    """Return a function: axis codes, voxel sizes, rotation in degrees, origin -> affine."""

    def build(
        codes: str,
        sizes: tuple[float, float, float] = (1, 1, 1),
        degrees: tuple[float, float, float] = (0, 0, 0),
        origin: tuple[float, float, float] = (0, 0, 0),
    ) -> np.ndarray:
        affine = np.eye(4)
        orientation = nib.orientations.axcodes2ornt(tuple(codes))
        for column, (axis, sign) in enumerate(orientation):
            affine[:3, column] = 0
            affine[int(axis), column] = sign * sizes[column]
        affine[:3, :3] = (
            Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
        )
        affine[:3, 3] = origin
        return affine

    return build


@pytest.fixture(scope="session")
def template() -> Template:
    """The packaged template."""
    return Template.packaged()


@pytest.fixture(scope="session")
def example(made_once, example_flair: Path) -> dict[str, Any]:
    """The example scan conformed, its brain (deepbet) and its bias-corrected image."""

    def paths(folder: Path) -> tuple[Path, Path, Path]:
        conformed, brain, corrected = (folder / f"{n}.nii.gz" for n in ("conformed", "brain", "n4"))
        return conformed, brain, corrected

    def make(folder: Path) -> dict[str, Any]:
        conformed, brain, corrected = paths(folder)
        conform(example_flair, conformed)
        facts = extract_brain(conformed, brain, method="deepbet")
        correct_bias(conformed, brain, corrected, PreprocConfig())
        return facts

    folder = made_once("preprocessed", make)
    made = dict(zip(("conformed", "brain", "corrected"), paths(folder), strict=True))
    return {**made, "brain_facts": json.loads((folder / "made.json").read_text())}
