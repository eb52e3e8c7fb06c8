"""Slices of another brightness than their neighbours."""

import nibabel as nib
import numpy as np
import pytest

from uadbids.qc.slices import odd_slices


def written(folder, spacing, gain):
    data = np.random.default_rng(3).normal(100, 8, (40, 44, len(gain))) * gain
    affine = np.diag([*spacing, 1])
    brain = np.zeros(data.shape, np.uint8)
    brain[5:35, 5:39, 1:-1] = 1
    nib.Nifti1Image(data.astype(np.float32), affine).to_filename(folder / "scan.nii")
    nib.Nifti1Image(brain, affine).to_filename(folder / "brain.nii")
    return folder / "scan.nii", folder / "brain.nii"


@pytest.mark.parametrize(("factor", "odd"), [(1.25, [9]), (0.8, [9]), (1.05, [])])
def test_one_slice_of_another_brightness_is_found(tmp_path, factor, odd):
    gain = np.linspace(1, 1.4, 20)
    gain[9] *= factor
    found = odd_slices(*written(tmp_path, (1, 1, 4), gain))
    assert np.flatnonzero(found.any(axis=(0, 1))).tolist() == odd
    assert found[..., odd].all()


def test_isotropic_scans_and_empty_masks_have_none(tmp_path):
    scan, brain = written(tmp_path, (1, 1, 1), np.where(np.arange(20) == 9, 2.0, 1.0))
    assert not odd_slices(scan, brain).any()
    scan, brain = written(tmp_path, (1, 1, 4), np.ones(20))
    nib.Nifti1Image(np.zeros((40, 44, 20), np.uint8), np.diag([1, 1, 4, 1])).to_filename(brain)
    assert not odd_slices(scan, brain).any()
