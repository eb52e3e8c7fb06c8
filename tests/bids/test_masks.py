import nibabel as nib
import numpy as np
import pytest

from uadbids.bids.masks import BRAIN, LESIONS, find_mask
from uadbids.bids.query import find_scans
from uadbids.errors import UsageError

ANAT = "sub-01/ses-1/anat"
SCAN = f"{ANAT}/sub-01_ses-1_acq-3D_run-1_FLAIR.nii.gz"


@pytest.fixture
def root(make_raw):
    return make_raw(SCAN)


@pytest.fixture
def scan(root):
    return find_scans(root)[0]


@pytest.mark.parametrize(
    "name",
    [
        f"{ANAT}/sub-01_ses-1_acq-3D_run-1_label-lesion_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_acq-3D_run-1_label-WMH_mask.nii",
        f"derivatives/raters/{ANAT}/sub-01_ses-1_acq-3D_run-1_space-orig_label-lesion_mask.nii.gz",
        f"derivatives/raters/{ANAT}/sub-01_ses-1_space-orig_desc-tumor_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_run-1_label-anomaly_desc-rater1_mask.nii.gz",
    ],
)
def test_a_mask_of_the_scan_is_found(name, root, scan, save_image):
    path = save_image(root / name)
    assert find_mask(root, scan, LESIONS) == path
    assert find_mask(root, scan, BRAIN) is None


@pytest.mark.parametrize("entity", ["label-brain", "desc-brain"])
def test_a_brain_mask_is_found_by_label_and_by_description(entity, root, scan, save_image):
    path = save_image(root / f"derivatives/bet/{ANAT}/sub-01_ses-1_{entity}_mask.nii.gz")
    assert find_mask(root, scan, BRAIN) == path
    assert find_mask(root, scan, LESIONS) is None


@pytest.mark.parametrize(
    "name",
    [
        f"{ANAT}/sub-01_ses-1_acq-3D_run-2_label-lesion_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_acq-2D_run-1_label-lesion_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_rec-norm_label-lesion_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_space-MNI152NLin6Asym_label-lesion_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_label-lesion_probseg.nii.gz",
        f"{ANAT}/sub-01_ses-1_label-GM_mask.nii.gz",
        f"{ANAT}/sub-01_ses-1_label-lesion_mask.json",
        "sub-01/ses-2/anat/sub-01_ses-2_label-lesion_mask.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_label-lesion_mask.nii.gz",
        f"derivatives/deep/er/{ANAT}/sub-01_ses-1_label-lesion_mask.nii.gz",
    ],
)
def test_what_belongs_to_another_image_is_left_alone(name, root, scan, tmp_path):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert find_mask(root, scan, LESIONS) is None


def test_a_derivative_dataset_can_be_searched_itself(root, scan, save_image, tmp_path):
    path = save_image(tmp_path / "masks" / ANAT / "sub-01_ses-1_label-lesion_mask.nii.gz")
    assert find_mask(tmp_path / "masks", scan, LESIONS) == path
    assert find_mask(root, scan, LESIONS) is None


def test_two_masks_are_not_guessed_between(root, scan, save_image):
    for rater in "12":
        save_image(
            root / f"derivatives/r{rater}/{ANAT}/sub-01_ses-1_label-lesion_desc-{rater}_mask.nii.gz"
        )
    message = (
        r"run-1_FLAIR.nii.gz: more than one mask fits "
        r"\(derivatives/r1/sub-01/.*1_mask.nii.gz, derivatives/r2/sub-01/.*2_mask"
    )
    with pytest.raises(UsageError, match=message):
        find_mask(root, scan, LESIONS)


def test_a_dataset_without_sessions_works_too(make_raw, save_image):
    root = make_raw("sub-01/anat/sub-01_FLAIR.nii.gz")
    path = save_image(root / "sub-01/anat/sub-01_label-lesion_mask.nii.gz")
    (scan,) = find_scans(root)
    assert find_mask(root, scan, LESIONS) == path


def test_a_mask_off_the_grid_of_its_scan_makes_nothing_ambiguous(root, scan, save_image):
    fits = save_image(root / f"derivatives/a/{ANAT}/sub-01_ses-1_label-brain_mask.nii.gz")
    other = save_image(root / f"derivatives/b/{ANAT}/sub-01_ses-1_label-brain_mask.nii.gz")
    with pytest.raises(UsageError, match="more than one mask fits"):
        find_mask(root, scan, BRAIN)
    for shape, affine in (((4, 4, 5), np.eye(4)), ((4, 4, 4), np.diag([1, 1, 2, 1]))):
        nib.Nifti1Image(np.ones(shape, np.uint8), affine).to_filename(other)
        assert find_mask(root, scan, BRAIN) == fits
    # The order of the voxels does not matter.
    turned = nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)).as_reoriented(
        np.array([[1, -1], [0, 1], [2, 1]])
    )
    turned.to_filename(other)
    with pytest.raises(UsageError, match="more than one mask fits"):
        find_mask(root, scan, BRAIN)
