"""Whatever bytes a scan holds: it is conformed, or refused with a sentence."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uadbids.errors import ScanError
from uadbids.preproc.conform import conform

SHAPE = (9, 10, 11)
HEADER = 348


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Bytes of a small, sound image."""
    path = tmp_path_factory.mktemp("sound") / "sound.nii"
    image = nib.Nifti1Image(np.arange(990, dtype=np.int16).reshape(SHAPE), np.diag([2, 2, 3, 1]))
    image.set_qform(image.affine, code=1)
    image.to_filename(path)
    return path.read_bytes()


def conform_or_refuse(path, out):
    """Return the conformed image, or None; every other error is a defect."""
    try:
        conform(path, out)
    except ScanError:
        return None
    image = nib.load(out)
    assert np.isfinite(image.get_fdata()).all()
    assert np.isfinite(image.affine).all()
    assert np.abs(np.linalg.det(image.affine)) > 0
    return image


edits = st.lists(st.tuples(st.integers(0, HEADER + 3), st.integers(0, 255)), min_size=1, max_size=8)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits)
def test_any_header_is_read_or_refused(content, tmp_path, edits):
    changed = bytearray(content)
    for place, value in edits:
        changed[place] = value
    path = tmp_path / "x.nii"
    path.write_bytes(changed)
    conform_or_refuse(path, tmp_path / "out.nii")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_gzip_file_is_refused(content, tmp_path, data):
    packed = bytearray(gzip.compress(content, mtime=0))
    # Behind the ten bytes of gzip's own header, every bit counts.
    place = data.draw(st.integers(10, len(packed) - 1))
    packed[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "x.nii.gz"
    path.write_bytes(packed)
    assert conform_or_refuse(path, tmp_path / "out.nii") is None


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_ends_early_is_refused(content, tmp_path, data):
    whole = data.draw(st.sampled_from([content, gzip.compress(content, mtime=0)]))
    path = tmp_path / ("x.nii" if whole is content else "x.nii.gz")
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert conform_or_refuse(path, tmp_path / "out.nii") is None
