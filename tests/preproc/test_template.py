import gzip
import hashlib

import nibabel as nib
import numpy as np
from scipy import ndimage

from uadbids.model.grid import TEMPLATE_SHAPE as SHAPE
from uadbids.preproc.template import Template

BRIGHT = "956d50c28348e5653e3b896e302636307f8c76270f24e89cbd59fc84873f4e99"


def test_the_packaged_template_is_one_ras_grid_of_one_millimetre(template):
    for path in (template.t1w, template.brain_mask, template.bright):
        image = nib.load(path)
        assert image.shape == SHAPE == (170, 204, 170)
        np.testing.assert_array_equal(image.affine[:3, :3], np.eye(3))
        np.testing.assert_array_equal(image.affine, template.affine)
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    assert 1.2e6 < brain.sum() < 2.2e6
    assert (np.asarray(nib.load(template.t1w).dataobj)[brain] > 0).mean() > 0.99


def test_the_hash_is_of_voxels_and_grid_whatever_the_compression(template, tmp_path):
    plain = tmp_path / "t1w.nii"
    plain.write_bytes(gzip.decompress(template.t1w.read_bytes()))
    assert Template(plain, template.brain_mask, template.bright).sha256() == template.sha256()

    image = nib.load(plain)
    data = np.asarray(image.dataobj).copy()
    data[85, 100, 85] += 1
    nib.Nifti1Image(data, image.affine).to_filename(tmp_path / "value.nii")
    moved = image.affine.copy()
    moved[0, 3] += 1
    nib.Nifti1Image(np.asarray(image.dataobj), moved).to_filename(tmp_path / "moved.nii")
    hashes = {
        Template(tmp_path / name, template.brain_mask, template.bright).sha256()
        for name in ("value.nii", "moved.nii")
    }
    assert len(hashes | {template.sha256()}) == 3


def test_limbic_grey_matter_is_bright_in_normal_brains_and_white_matter_is_not(template):
    bright = template.normal_brightness()
    # Other values need other thresholds: recipes/packaged/measure_cohort.py calibrates anew.
    steps = np.round(bright / 0.05).astype(np.uint8)
    assert hashlib.sha256(steps.tobytes()).hexdigest() == BRIGHT
    assert bright.shape == SHAPE and bright.dtype == np.float32
    assert bright.min() == 0 and 3 < bright.max() < 12.75
    places = {
        "hippocampus": (27, -20, -15),
        "insula": (38, 2, 0),
        "deep white matter": (26, -24, 26),
    }
    level = {}
    for name, mm in places.items():
        i, j, k = np.round(np.linalg.inv(template.affine) @ [*mm, 1])[:3].astype(int)
        level[name] = bright[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3].mean()
    assert level["hippocampus"] > 1.5 and level["insula"] > 0.5, level
    assert level["deep white matter"] < 0.1, level


def test_the_order_in_memory_does_not_change_the_file(template, tmp_path):
    data = np.random.default_rng(1).integers(0, 9, SHAPE).astype(np.float32)
    template.save(data, tmp_path / "c.nii.gz")
    template.save(np.asfortranarray(data), tmp_path / "f.nii.gz")
    assert (tmp_path / "c.nii.gz").read_bytes() == (tmp_path / "f.nii.gz").read_bytes()
    np.testing.assert_array_equal(nib.load(tmp_path / "c.nii.gz").dataobj, data)


def test_what_is_saved_lies_on_the_templates_grid(template, tmp_path):
    template.save(np.ones(SHAPE, np.uint8), tmp_path / "ones.nii.gz")
    image = nib.load(tmp_path / "ones.nii.gz")
    np.testing.assert_array_equal(image.affine, template.affine)
    assert image.get_qform(coded=True)[1] == image.get_sform(coded=True)[1] == 1
    assert image.header.get_xyzt_units()[0] == "mm" and image.get_data_dtype() == np.uint8


def test_depth_is_the_distance_to_the_other_side_of_the_brains_surface(template):
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    depth = ndimage.distance_transform_edt(brain) - ndimage.distance_transform_edt(~brain)
    voxels = np.argwhere(np.ones(SHAPE, dtype=bool))[::997]
    points = voxels + template.affine[:3, 3]
    np.testing.assert_array_equal(template.depth(points), depth[tuple(voxels.T)].astype(np.float32))
    beyond = np.array([[500.0, 0, 0]])
    assert template.depth(beyond) < -10 and not template.reaches(beyond).any()
