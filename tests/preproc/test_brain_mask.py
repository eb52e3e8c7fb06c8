import hashlib

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from heads import without_skull
from uadbids.errors import ScanError, UsageError
from uadbids.preproc.brain_mask import extract_brain
from uadbids.preproc.config import choose_method
from uadbids.preproc.conform import conform
from uadbids.preproc.deepbet import mirror_consistent

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")


def ball(shape=(40, 44, 36), radius=1.0):
    grid = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij")
    return sum(axis**2 for axis in grid) < radius**2


@pytest.fixture
def stripped(save, affine_of, tmp_path):
    """A z-scored brain without skull: its background is a number below zero, not 0."""
    inside = ball()
    data = np.random.default_rng(2).normal(size=inside.shape)
    data = np.where(inside, data, -2.25)
    data[1, 1, 1] = 9  # a stray voxel of the tool that stripped it
    affine = affine_of("LPS", (4, 4, 4), (5, 0, 0))
    out = tmp_path / "conformed.nii.gz"
    conform(save(data.astype(np.float32), affine), out)
    return out


# --- which method


@pytest.mark.parametrize(
    ("wanted", "stripped_flag", "weights", "mask", "method"),
    [
        ("auto", None, False, False, "deepbet"),
        ("auto", False, False, True, "deepbet"),
        ("auto", None, True, False, "hd-bet"),
        ("auto", True, True, True, "none"),
        ("auto", "yes", False, False, "deepbet"),
        ("deepbet", True, True, True, "deepbet"),
        ("hd-bet", True, True, False, "hd-bet"),
        ("mask", None, True, True, "mask"),
        ("none", None, True, True, "none"),
    ],
)
def test_the_method_follows_from_wish_sidecar_weights_and_mask(
    wanted, stripped_flag, weights, mask, method, tmp_path
):
    metadata = {} if stripped_flag is None else {"SkullStripped": stripped_flag}
    folder, file = tmp_path if weights else None, tmp_path / "mask.nii" if mask else None
    assert choose_method(wanted, metadata, folder, file) == method


def test_a_mask_that_is_not_there_is_the_scans_error():
    with pytest.raises(ScanError, match="no brain mask of this scan was found"):
        choose_method("mask", {}, None, None)


def test_hd_bet_without_weights_is_an_error_of_usage():
    with pytest.raises(UsageError, match="--hd-bet-weights"):
        choose_method("hd-bet", {}, None, None)


# --- masks that need no network


def test_a_stripped_scan_is_all_that_differs_from_its_background(stripped, tmp_path):
    facts = extract_brain(stripped, tmp_path / "mask.nii.gz", method="none")
    mask = nib.load(tmp_path / "mask.nii.gz")
    inside = ball()[::-1, ::-1]
    np.testing.assert_array_equal(np.asarray(mask.dataobj) > 0, inside)
    np.testing.assert_array_equal(mask.affine, nib.load(stripped).affine)
    assert mask.get_data_dtype() == np.uint8
    assert facts == {
        "BrainMaskMethod": "none",
        "BrainVolumeMl": pytest.approx(inside.sum() * 0.064, abs=0.1),
    }


def test_a_given_mask_is_put_in_the_order_of_the_conformed_scan(
    stripped, save, affine_of, tmp_path
):
    inside = ball()
    inside[:20] = False  # the patient's right half is x < 0; LPS counts from right to left
    given = save(inside.astype(np.float32), affine_of("LPS", (4, 4, 4), (5, 0, 0)), name="m.nii")
    facts = extract_brain(stripped, tmp_path / "out.nii.gz", method="mask", given_mask=given)
    found = np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj) > 0
    np.testing.assert_array_equal(found, inside[::-1, ::-1])
    assert facts["BrainMaskMethod"] == "mask"
    assert facts["BrainMaskSource"] == given.name
    assert facts["BrainMaskSHA256"] == hashlib.sha256(given.read_bytes()).hexdigest()
    place = tmp_path / "derivatives" / "x" / "sub-1" / "anat" / "sub-1_label-brain_mask.nii"
    place.parent.mkdir(parents=True)
    given.rename(place)
    facts = extract_brain(stripped, tmp_path / "out.nii.gz", method="mask", given_mask=place)
    assert facts["BrainMaskSource"] == "derivatives/x/sub-1/anat/sub-1_label-brain_mask.nii"


def test_a_given_mask_on_another_grid_is_refused(stripped, save, affine_of, tmp_path):
    given = save(ball().astype(np.uint8), affine_of("LPS", (4, 4, 5)), name="other.nii")
    with pytest.raises(ScanError, match=r"other.nii: the mask does not lie on the grid"):
        extract_brain(stripped, tmp_path / "out.nii.gz", method="mask", given_mask=given)
    with pytest.raises(
        ScanError, match=r"conformed.nii.gz: a brain mask is needed, and was not found"
    ):
        extract_brain(stripped, tmp_path / "out.nii.gz", method="mask")


@pytest.mark.parametrize(("radius", "millilitres"), [(0.3, 31), (0.0, 0)])
def test_a_mask_too_small_for_a_brain_is_refused(
    radius, millilitres, stripped, save, affine_of, tmp_path
):
    affine = affine_of("LPS", (4, 4, 4), (5, 0, 0))
    given = save(ball(radius=radius).astype(np.uint8), affine, name="small.nii")
    with pytest.raises(ScanError, match=rf"mask found no brain \({millilitres} ml\)"):
        extract_brain(stripped, tmp_path / "out.nii.gz", method="mask", given_mask=given)
    assert not (tmp_path / "out.nii.gz").exists()


# --- the embedded network


def sphere(centre, radius, shape=(60, 60, 30), spacing=(1.0, 1.0, 2.0)):
    grid = np.stack(np.indices(shape), axis=-1) * spacing
    return np.linalg.norm(grid - np.array(centre), axis=-1) <= radius


def test_a_lump_that_only_one_of_two_masks_holds_is_taken_away():
    brain, lump = sphere((30, 30, 30), 20), sphere((45, 45, 30), 9)
    left = mirror_consistent(brain | lump, brain, (1.0, 1.0, 2.0))
    # Its thin edge stays.
    assert (left & ~brain).sum() < 0.2 * (lump & ~brain).sum()
    assert left[brain].all()


def test_masks_that_agree_but_for_their_rims_are_left_alone():
    brain = sphere((30, 30, 30), 20)
    crumb = brain & ~sphere((50, 30, 30), 5)  # under 1 ml
    around = (sphere((30, 30, 30), 18), sphere((31.5, 30, 30), 20), sphere((30, 30, 30), 25))
    for other in (*around, crumb):
        assert mirror_consistent(brain, other, (1.0, 1.0, 2.0)) is brain


def test_what_hangs_on_by_a_doubtful_lump_goes_with_it():
    brain, lump = sphere((20, 30, 30), 14), sphere((38, 30, 30), 8)
    beyond = sphere((49, 30, 30), 5)
    left = mirror_consistent(brain | lump | beyond, brain | beyond, (1.0, 1.0, 2.0))
    assert left[brain].mean() > 0.99 and not left[48:].any()


@pytest.mark.slow
def test_deepbet_finds_the_brain_of_the_example(example):
    assert example["brain_facts"]["BrainMaskMethod"] == "deepbet"
    assert 1100 < example["brain_facts"]["BrainVolumeMl"] < 1600
    mask, scan = nib.load(example["brain"]), nib.load(example["conformed"])
    np.testing.assert_array_equal(mask.affine, scan.affine)
    inside, data = np.asarray(mask.dataobj) > 0, np.asarray(scan.dataobj)

    def dark(where):
        return float((data[where] < 0.25 * np.median(data[inside])).mean())

    # A mask in a wrong voxel order would hold air.
    assert dark(inside) < 0.05
    assert min(dark(inside[:, ::-1]), dark(inside[:, :, ::-1])) > 0.1


@pytest.mark.slow
def test_deepbet_on_an_image_without_a_head_tells_the_file(save, tmp_path):
    blank = np.zeros((32, 32, 32), np.float32)
    blank[16, 16, 16] = 1
    with pytest.raises(ScanError, match=r"blank.nii: deepbet found no brain"):
        extract_brain(save(blank, name="blank.nii"), tmp_path / "out.nii.gz", method="deepbet")


# --- scans without skull, as tools leave them


@pytest.fixture(scope="module")
def brain(example_flair):
    """The example's brain, cut out roughly, its mask and its affine."""
    image = nib.load(example_flair)
    data = without_skull(np.asarray(image.dataobj, dtype=np.float32))[::2, ::2]
    return data, data > 0, image.affine @ np.diag([2, 2, 1, 1])


def moved(data, **how):
    return ndimage.shift(data, (0.4, 0.3, 0.2), **how)


def scored(data, brain):
    return (data - data[brain].mean()) / data[brain].std()


STRIPPED = {
    "as it is": lambda data, brain: data,
    "cubic": lambda data, brain: moved(data, order=3),
    "quintic": lambda data, brain: moved(data.astype(float), order=5),
    "cubic, whole numbers": lambda data, brain: moved(data, order=3).astype(np.int16),
    "linear": lambda data, brain: moved(data, order=1),
    "noise": lambda data, brain: data + np.random.default_rng(0).normal(0, 2, data.shape),
    "z-scored and moved": lambda data, brain: moved(scored(data, brain), order=3, mode="nearest"),
    "z-scored, background 0": lambda data, brain: np.where(brain, scored(data, brain), 0),
    "background -1024": lambda data, brain: np.where(brain, data, -1024),
    "background 1000": lambda data, brain: np.where(brain, data, 1000),
}


@pytest.mark.parametrize("how", STRIPPED)
def test_the_background_need_not_be_one_value(how, brain, save, tmp_path):
    data, inside, affine = brain
    image = STRIPPED[how](data, inside)
    conform(save(image.astype(np.float32), affine), tmp_path / "conformed.nii")
    facts = extract_brain(tmp_path / "conformed.nii", tmp_path / "mask.nii", method="none")
    true = nib.as_closest_canonical(nib.Nifti1Image(inside.astype(np.uint8), affine))
    true = np.asarray(true.dataobj) > 0
    found = np.asarray(nib.load(tmp_path / "mask.nii").dataobj) > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.94
    volume = inside.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert facts["BrainVolumeMl"] == pytest.approx(volume, rel=0.11)


def test_a_head_that_passes_for_a_brain_is_refused(example_flair, tmp_path):
    conform(example_flair, tmp_path / "conformed.nii")
    with pytest.raises(ScanError, match=r"\d+ ml differ from the background, more than any brain"):
        extract_brain(tmp_path / "conformed.nii", tmp_path / "mask.nii", method="none")
