"""An image, whether it lies in a file or in memory; a model, by name or by folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import nibabel as nib

Image: TypeAlias = "str | os.PathLike[str] | nib.Nifti1Image"
"""A NIfTI file, or an image in memory."""


def name_or_path(model: str | os.PathLike[str]) -> str | Path:
    """Keep a name apart from a path."""
    return model if isinstance(model, str) else Path(model)


def image_file(image: Image, path: Path) -> Path:
    """Return the file of an image; one in memory is written."""
    if isinstance(image, str | os.PathLike):
        return Path(image).absolute()
    nib.save(image, path)
    return path


def load_image(image: Image) -> nib.Nifti1Image:
    """Return an image; one in a file is opened."""
    return nib.load(image) if isinstance(image, str | os.PathLike) else image
