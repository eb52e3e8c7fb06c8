import ants
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.config import PreprocConfig

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")


def spread(values):
    """Robust coefficient of variation."""
    low, middle, high = np.percentile(values, (10, 50, 90))
    return (high - low) / middle


# What is bright for the field's sake is spared too, so that sparing costs some of the correction.
@pytest.mark.parametrize(("spared", "left"), [(0.0, 0.2), (0.2, 0.5)])
def test_a_smooth_field_is_divided_out(spared, left, save, tmp_path):
    """A head of 4 mm voxels, two tissues in layers, brighter from left to right."""
    shape = (40, 48, 36)
    grid = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in grid))
    brain = radius < 1
    tissue = np.where((radius * 8).astype(int) % 2, 100.0, 130.0)
    tissue += np.random.default_rng(0).normal(0, 3, shape)
    field = np.exp(0.5 * grid[0])
    affine = np.diag([4.0, 4, 4, 1])
    scan = save((tissue * field * brain).astype(np.float32), affine, name="scan.nii")
    mask = save(brain.astype(np.uint8), affine, name="mask.nii")

    config = PreprocConfig(n4_spared_fraction=spared)
    facts = correct_bias(scan, mask, tmp_path / "out.nii", config)

    out = nib.load(tmp_path / "out.nii")
    np.testing.assert_allclose(out.affine, affine, atol=1e-4)
    ratio = (np.asarray(out.dataobj) / np.maximum(tissue, 1))[brain]
    assert spread(ratio) < left * spread(field[brain])
    low, high = facts["BiasFieldRange"]
    assert low < 1 < high and high / low < 3.2  # the field itself: exp(0.5 * 2) is 2.7


def contrast(image, lesion, brain):
    return float(image[lesion].mean() / np.median(image[brain & ~lesion]))


@pytest.mark.slow
def test_a_tumour_keeps_its_contrast_where_four_levels_take_it_away(example, tmp_path):
    image = nib.load(example["conformed"])
    data = np.asarray(image.dataobj).copy()
    brain = np.asarray(nib.load(example["brain"]).dataobj) > 0
    places = apply_affine(image.affine, np.argwhere(np.ones(data.shape))).reshape(*data.shape, 3)
    centre = places[brain].mean(axis=0) + np.array([28, -5, 12])
    lesion = (((places - centre) / (20, 17, 15)) ** 2).sum(axis=-1) < 1
    assert (lesion & brain).sum() / lesion.sum() > 0.95
    lesion &= brain
    data[lesion] *= 1.6
    path = tmp_path / "tumour.nii.gz"
    nib.Nifti1Image(data, image.affine, image.header).to_filename(path)

    correct_bias(path, example["brain"], tmp_path / "ours.nii.gz", PreprocConfig())
    scan = ants.image_read(str(path), pixeltype="float")
    mask = ants.image_read(str(example["brain"]), pixeltype="float")
    usual = ants.n4_bias_field_correction(scan, mask=mask, shrink_factor=4).numpy()

    before = contrast(data, lesion, brain)
    ours = contrast(np.asarray(nib.load(tmp_path / "ours.nii.gz").dataobj), lesion, brain)
    assert before > 1.4
    assert abs(ours / before - 1) < 0.05
    assert contrast(usual, lesion, brain) / before < 0.85
