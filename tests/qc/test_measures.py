"""What is measured of a scan: on the template itself, on the example, and on what is wrong."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.preproc.atlas import Atlas
from uadbids.preproc.similarity import look_around, mutual_information
from uadbids.preproc.template import Template
from uadbids.qc.flags import judge
from uadbids.qc.measures import assess, cut_sides

TEMPLATE = Template.packaged()


@pytest.fixture(scope="module")
def flair():
    """Return a volume with the contrast of a FLAIR, made of the template, and its mask."""
    t1w = np.asarray(nib.load(TEMPLATE.t1w).dataobj, dtype=np.float32) / 255
    mask = np.asarray(nib.load(TEMPLATE.brain_mask).dataobj) > 0
    tissues = Atlas.packaged().on_template()
    # Bright where T1 is of middle brightness: grey matter; fluid stays dark.
    level = np.interp(t1w, [0, 0.3, 0.6, 0.85, 1], [0.05, 0.1, 0.46, 0.4, 0.4])
    level[tissues.ventricles] = 0.06
    noise = np.random.default_rng(3).normal(0, 0.02, t1w.shape)
    return np.where(mask, np.maximum(level + noise, 0), 0).astype(np.float32), mask


def template():
    t1w = np.asarray(nib.load(TEMPLATE.t1w).dataobj, dtype=np.float32)
    return t1w, np.asarray(nib.load(TEMPLATE.brain_mask).dataobj) > 0


def measure(volume, mask, tmp_path, brain=None):
    TEMPLATE.save(np.where(mask, volume, 0).astype(np.float32), tmp_path / "volume.nii.gz")
    TEMPLATE.save(mask.astype(np.uint8), tmp_path / "mask.nii.gz")
    inside = np.zeros((20, 20, 20), dtype=np.uint8)
    inside[4:16, 4:16, 4:16] = 1
    image = nib.Nifti1Image(inside if brain is None else brain, np.eye(4))
    image.to_filename(tmp_path / "brain.nii.gz")
    return assess(
        tmp_path / "brain.nii.gz", tmp_path / "volume.nii.gz", tmp_path / "mask.nii.gz", TEMPLATE
    )


def test_poses_beside_are_those_of_the_template_rolled_by_8_mm(flair):
    found = look_around(*flair, *template())
    assert found.here == mutual_information(*flair, *template())
    beside = [
        mutual_information(*flair, *(np.roll(image, shift, axis) for image in template()))
        for axis in range(3)
        for shift in (-8, 8)
    ]
    assert found.beside == max(beside)


def test_a_flair_in_its_place_raises_nothing(flair, tmp_path):
    facts = measure(*flair, tmp_path)
    assert facts["FieldOfViewCut"] == []
    assert facts["RegistrationGain"] > 1.3
    assert facts["T1wCorrelation"] < 0.35 and facts["VentricleLevel"] < 0.5
    assert judge(facts) == ([], [])


def test_a_t1_weighted_image_is_not_taken_for_a_flair(flair, tmp_path):
    t1w = np.asarray(nib.load(TEMPLATE.t1w).dataobj, dtype=np.float32) / 255
    facts = measure(t1w, flair[1], tmp_path)
    assert facts["T1wCorrelation"] > 0.9
    assert judge(facts)[0] == ["contrast"]


def test_a_t2_weighted_image_is_not_taken_for_a_flair(flair, tmp_path):
    volume, mask = flair
    bright = np.where(mask, np.clip(1 - 2 * volume, 0, 1), 0).astype(np.float32)
    facts = measure(bright, mask, tmp_path)
    assert facts["VentricleLevel"] > 1
    assert "contrast" in judge(facts)[0]


@pytest.mark.parametrize("shift", [(0, 0, 10), (0, 12, 0), (-9, 0, 0)])
def test_a_shifted_brain_is_a_poor_alignment(flair, shift):
    moved, mask = (np.roll(array, shift, (0, 1, 2)) for array in flair)
    found = look_around(moved, mask, *template())
    assert found.gain < 1.0
    # The template would have to go where the brain went.
    assert np.sign(found.shift_mm).tolist() == np.sign(shift).tolist()
    thirds = (slice(None, None, 3),) * 3
    coarse = [array[thirds] for array in (moved, mask, *template())]
    assert look_around(*coarse, spacing_mm=3.0).gain < 1.0


def test_a_volume_without_contrast_gains_nothing(flair):
    assert look_around(np.zeros_like(flair[0]), flair[1], *template()).gain == 0.0


def test_an_image_says_all_of_itself_and_nothing_of_noise(flair):
    t1w, brain = template()
    assert mutual_information(t1w, brain, t1w, brain) == pytest.approx(1.0)
    noise = np.random.default_rng(5).normal(size=t1w.shape)
    assert mutual_information(noise, brain, t1w, brain) < 1e-3


def test_without_the_tissue_nothing_is_told(flair, tmp_path):
    mask = np.zeros_like(flair[1])
    mask[60:70, 150:160, 100:110] = True
    facts = measure(flair[0], mask, tmp_path)
    assert facts["VentricleLevel"] is None
    assert "contrast" not in judge(facts)[0]


SIDES = {"left": (0, 0), "right": (0, -1), "back": (1, 0), "front": (1, -1),
         "below": (2, 0), "above": (2, -1)}  # fmt: skip


@given(st.sets(st.sampled_from(sorted(SIDES))))
def test_the_sides_that_cut_a_brain_are_named(sides):
    brain = np.zeros((30, 30, 30), dtype=bool)
    edges = [[6, 24], [6, 24], [6, 24]]
    for side in sides:
        axis, end = SIDES[side]
        edges[axis][0 if end == 0 else 1] = 0 if end == 0 else 30
    brain[tuple(slice(*pair) for pair in edges)] = True
    assert set(cut_sides(brain)) == sides


def test_a_pole_that_touches_the_edge_is_no_cut():
    grid = np.indices((31, 31, 31)) - 15
    assert cut_sides((grid**2).sum(axis=0) <= 15**2) == []
