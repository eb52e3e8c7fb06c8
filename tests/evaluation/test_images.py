import nibabel as nib
import numpy as np
import pytest

from uadbids.errors import ScanError
from uadbids.evaluation.images import Way, read_mask
from uadbids.preproc.transform import read_transform
from uadbids.preproc.volume import Volume, read_canonical

NOTHING = frozenset()


@pytest.fixture
def grid(study):
    """The scan's grid, its axes in RAS order as `read_canonical` gives them."""
    image = nib.as_closest_canonical(nib.Nifti1Image(np.zeros(study.native_shape), study.native))
    return Volume(np.asarray(image.dataobj), image.affine)


@pytest.fixture
def lesion(study):
    mask = np.zeros(study.native_shape, dtype=np.uint8)
    mask[20:24, 30:33, 10:12] = 1
    return mask


def test_a_mask_in_the_order_of_its_scan_is_read(study, grid, lesion, tmp_path):
    path = study.save(lesion, study.native, tmp_path / "m.nii.gz")
    mask, notes = read_mask(path, grid, NOTHING, resample=False)
    # The scan runs to the left.
    np.testing.assert_array_equal(mask, lesion[::-1] > 0)
    assert notes == []


def test_a_mask_whose_axes_run_another_way_is_the_same_mask(study, grid, lesion, tmp_path):
    turned = nib.as_closest_canonical(nib.Nifti1Image(lesion, study.native))
    path = study.save(np.asarray(turned.dataobj), turned.affine, tmp_path / "m.nii")
    mask, _ = read_mask(path, grid, NOTHING, resample=False)
    np.testing.assert_array_equal(mask, lesion[::-1] > 0)


@pytest.mark.parametrize(
    ("values", "wanted", "count", "told"),
    [
        ([255], [], 24, []),
        ([1, 2, 4], [], 24, ["its values 1, 2, 4 all count as lesion (--mask-values chooses)"]),
        ([1, 2, 4], [1, 4], 16, []),
        ([1], [3], 0, ["the mask holds no lesion: Dice is 1 if nothing was found, else 0"]),
        ([0], [], 0, ["the mask holds no lesion: Dice is 1 if nothing was found, else 0"]),
    ],
)
def test_values_of_masks(values, wanted, count, told, study, grid, lesion, tmp_path):
    numbers = np.resize(np.array(values, dtype=np.uint8), lesion.sum())
    lesion[lesion > 0] = numbers
    path = study.save(lesion, study.native, tmp_path / "m.nii.gz")
    mask, notes = read_mask(path, grid, frozenset(wanted), resample=False)
    assert mask.sum() == count
    assert notes == told


def test_a_mask_of_floats_or_with_an_axis_too_many_is_a_mask(study, grid, lesion, tmp_path):
    path = study.save(lesion.astype(np.float32)[..., None], study.native, tmp_path / "m.nii.gz")
    assert read_mask(path, grid, NOTHING, resample=False)[0].sum() == 24


@pytest.mark.parametrize("value", [0.4, -1.0, np.nan, np.inf])
def test_what_is_no_mask_is_refused(value, study, grid, lesion, tmp_path):
    numbers = lesion.astype(np.float32)
    numbers[0, 0, 0] = value
    path = study.save(numbers, study.native, tmp_path / "m.nii.gz")
    with pytest.raises(ScanError, match="threshold it first"):
        read_mask(path, grid, NOTHING, resample=False)


def test_a_shifted_header_is_refused_with_the_distance(study, grid, lesion, tmp_path):
    affine = study.native.copy()
    affine[:3, 3] += (0, 0, 4)
    path = study.save(lesion, affine, tmp_path / "m.nii.gz")
    with pytest.raises(ScanError, match=r"up to 4\.0 mm apart.*--resample-masks"):
        read_mask(path, grid, NOTHING, resample=False)
    # Two slices up, if the header is to be believed.
    mask, notes = read_mask(path, grid, NOTHING, resample=True)
    np.testing.assert_array_equal(mask, np.roll(lesion, 2, axis=2)[::-1] > 0)
    assert notes == ["the mask was resampled to the grid of the scan"]


def test_rounding_of_a_header_is_no_other_grid(study, grid, lesion, tmp_path):
    affine = study.native.copy()
    affine[:3, 3] += 0.2
    path = study.save(lesion, affine, tmp_path / "m.nii.gz")
    assert read_mask(path, grid, NOTHING, resample=False)[0].sum() == 24


def test_another_matrix_is_refused_and_can_be_resampled(study, grid, lesion, tmp_path):
    fine = np.repeat(lesion, 2, axis=2)
    affine = study.native @ np.diag([1, 1, 0.5, 1])
    affine[:3, 3] -= study.native[:3, 2] / 4
    path = study.save(fine, affine, tmp_path / "m.nii.gz")
    with pytest.raises(ScanError, match="64x58x52 voxels.*does not lie on the grid"):
        read_mask(path, grid, NOTHING, resample=False)
    mask, _ = read_mask(path, grid, NOTHING, resample=True)
    np.testing.assert_array_equal(mask, lesion[::-1] > 0)


def test_a_mask_that_lies_elsewhere_is_not_resampled_to_nothing(study, grid, lesion, tmp_path):
    affine = study.native.copy()
    affine[:3, 3] += 500
    path = study.save(lesion, affine, tmp_path / "m.nii.gz")
    with pytest.raises(ScanError, match="is it the mask of this scan"):
        read_mask(path, grid, NOTHING, resample=True)


def test_files_that_cannot_be_read_are_told(study, tmp_path):
    with pytest.raises(ScanError, match="is not there"):
        read_canonical(tmp_path / "nothing.nii.gz")
    (tmp_path / "text.nii.gz").write_text("no image")
    with pytest.raises(ScanError, match="no readable NIfTI"):
        read_canonical(tmp_path / "text.nii.gz")
    whole = study.save(np.ones((9, 9, 9)), np.eye(4), tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="no readable NIfTI"):
        read_canonical(tmp_path / "half.nii.gz")
    path = study.save(np.ones((9, 9, 9, 2)), np.eye(4), tmp_path / "series.nii.gz")
    with pytest.raises(ScanError, match="4 dimensions"):
        read_canonical(path)


def test_the_way_home_is_that_of_the_product(study, tmp_path):
    """The product goes home by ANTs; here it is NumPy and SciPy, many thresholds at once."""
    root = tmp_path / "maps"
    study.make_scan(root, tmp_path / "work", "01", [((6, 0, 2), 5), ((-8, 5, 6), 3)])
    anat = root / "sub-01" / "anat"
    scan = read_canonical(anat / "sub-01_space-orig_label-anomaly_mask.nii.gz")
    lesions = read_canonical(anat / "sub-01_space-UADBIDS_label-anomaly_mask.nii.gz")
    way = Way(anat / "sub-01_from-orig_to-UADBIDS_mode-image_xfm.txt", scan, lesions)
    np.testing.assert_array_equal(way.labels(lesions.data > 0), scan.data > 0)
    assert scan.data.sum() > 100
    theirs = read_canonical(anat / "sub-01_space-orig_desc-anomaly_FLAIR.nii.gz")
    ours = way.values(read_canonical(anat / "sub-01_space-UADBIDS_desc-anomaly_FLAIR.nii.gz").data)
    np.testing.assert_allclose(ours, theirs.data, atol=1e-4)
    back = way.lesions_to_template(scan.data > 0)
    overlap = 2 * (back & (lesions.data > 0)).sum() / (back.sum() + lesions.data.sum())
    assert overlap > 0.8


def test_nothing_comes_from_outside_the_template(study, tmp_path):
    xfm = tmp_path / "xfm.txt"
    xfm.write_text("Parameters: 1 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n")
    scan = Volume(np.zeros((30, 30, 30)), np.eye(4))
    template = Volume(np.zeros((10, 10, 10)), np.eye(4))
    moved = Way(xfm, scan, template).labels(np.ones((10, 10, 10), dtype=bool))
    assert moved.sum() == 1000 and moved[:10, :10, :10].all()


def test_a_transform_turns_about_its_centre(tmp_path):
    xfm = tmp_path / "xfm.txt"
    # A quarter turn about the third axis through (10, 0, 0) in LPS, which is (-10, 0, 0) in RAS.
    xfm.write_text("Parameters: 0 -1 0 1 0 0 0 0 1 0 0 5\nFixedParameters: 10 0 0\n")
    np.testing.assert_allclose(read_transform(xfm) @ (-10, 0, 0, 1), (-10, 0, 5, 1), atol=1e-9)
    np.testing.assert_allclose(read_transform(xfm) @ (-11, 0, 0, 1), (-10, -1, 5, 1), atol=1e-9)


@pytest.mark.parametrize("text", ["", "Parameters: 1 2 3\nFixedParameters: 0 0 0\n"])
def test_a_transform_that_cannot_be_read_is_told(text, tmp_path):
    (tmp_path / "xfm.txt").write_text(text)
    with pytest.raises(ScanError, match="cannot be read as a transform"):
        read_transform(tmp_path / "xfm.txt")
