"""What tests of any room share: the packaged scan, and how hypothesis runs."""

from pathlib import Path

import pytest
from hypothesis import settings

import uadbids

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("uadbids", deadline=None)
settings.load_profile("uadbids")


@pytest.fixture(scope="session")
def example_dataset() -> Path:
    """Root of the packaged BIDS dataset: one clinical FLAIR. Not to be written to."""
    return Path(uadbids.__file__).parent / "data" / "example"


@pytest.fixture(scope="session")
def example_flair(example_dataset: Path) -> Path:
    """Path of the packaged FLAIR: 256x256x44 voxels of 0.9x0.9x3 mm, with skull."""
    return example_dataset / "sub-20" / "ses-2" / "anat" / "sub-20_ses-2_FLAIR.nii.gz"
