import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uadbids.errors import ScanError
from uadbids.preproc.intensity import MEDIAN_VALUE, scale_intensity, top_value
from uadbids.preproc.template import Template

SHAPE = (16, 16, 16)


@pytest.fixture
def small_template(tmp_path):
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.diag([2.0, 2, 2, 1]))
    image.to_filename(tmp_path / "template.nii")
    return Template(*[tmp_path / "template.nii"] * 3)


@pytest.fixture
def scaled(tmp_path, small_template):
    """Return a function: grey values and brain -> scaled values and facts."""

    def run(data, brain, scale="median"):
        small_template.save(data.astype(np.float32), tmp_path / "in.nii")
        small_template.save(brain.astype(np.uint8), tmp_path / "mask.nii")
        facts = scale_intensity(
            tmp_path / "in.nii", tmp_path / "mask.nii", tmp_path / "out.nii", small_template, scale
        )
        out = nib.load(tmp_path / "out.nii")
        np.testing.assert_array_equal(out.affine, small_template.affine)
        assert out.get_data_dtype() == np.float32
        return np.asarray(out.dataobj).copy(), facts  # a copy: the next run writes to the same file

    return run


@pytest.fixture
def brain():
    inside = np.zeros(SHAPE, bool)
    inside[3:13, 3:13, 3:13] = True
    return inside


@pytest.fixture
def tissue():
    return np.random.default_rng(1).normal(100, 10, SHAPE)


def test_the_median_of_the_brain_goes_to_its_fixed_value(scaled, brain, tissue):
    out, facts = scaled(tissue, brain)
    assert np.median(out[brain]) == pytest.approx(MEDIAN_VALUE, abs=1e-4)
    assert facts["IntensityTop"] == pytest.approx(np.median(tissue[brain]) / MEDIAN_VALUE, rel=1e-4)
    assert facts["IntensityClippedFraction"] == 0


def test_the_percentile_of_the_brain_goes_to_one(scaled, brain, tissue):
    out, facts = scaled(tissue, brain, "percentile")
    assert facts["IntensityTop"] == pytest.approx(np.percentile(tissue[brain], 99.5), rel=1e-4)
    assert facts["IntensityClippedFraction"] == pytest.approx(0.005, abs=0.001)
    assert out.max() == 1


@pytest.mark.parametrize("scale", ["median", "percentile"])
def test_values_stay_in_range_and_the_outside_is_zero(scale, scaled, brain, tissue):
    wild = tissue.copy()
    wild[8, 8, 4:7], wild[8, 8, 8] = 1e6, -50
    wild[0] = 1e9
    out, facts = scaled(wild, brain, scale)
    assert out.min() == 0 and out.max() == 1
    assert (out[~brain] == 0).all()
    assert facts["IntensityClippedFraction"] >= 3e-3


def test_a_lesion_moves_the_percentile_but_not_the_median(scaled, brain, tissue):
    lesion = np.zeros_like(brain)
    lesion[4:9, 4:9, 4:8] = True
    healthy = brain & ~lesion
    change = {}
    for scale in ("median", "percentile"):
        before, _ = scaled(tissue, brain, scale)
        after, _ = scaled(np.where(lesion, 2.2 * tissue, tissue), brain, scale)
        change[scale] = 1 - after[healthy].mean() / before[healthy].mean()
    assert change["median"] < 0.03
    assert change["percentile"] > 0.3


@pytest.mark.parametrize("value", [0, -3])
def test_a_brain_without_signal_is_refused(value, scaled, brain):
    with pytest.raises(ScanError, match="the brain has no signal above 0"):
        scaled(np.full(SHAPE, value), brain)


def test_an_empty_mask_is_refused(scaled, tissue):
    with pytest.raises(ScanError, match="is the brain mask right"):
        scaled(tissue, np.zeros(SHAPE, bool))


@settings(max_examples=30, deadline=None)
@given(
    factor=st.floats(1e-3, 1e4),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from(["median", "percentile"]),
)
def test_the_unit_of_the_grey_values_does_not_matter(factor, seed, scale):
    values = np.random.default_rng(seed).gamma(4, 30, 500).astype(np.float32)
    first = values / top_value(values, scale)
    scaled_values = (values * np.float32(factor)).astype(np.float32)
    np.testing.assert_allclose(scaled_values / top_value(scaled_values, scale), first, rtol=1e-4)
