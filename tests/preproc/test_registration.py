import os
import subprocess
import sys
from itertools import product

import ants
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from uadbids.errors import ScanError
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import conform
from uadbids.preproc.registration import _nearest_rigid, register
from uadbids.preproc.resample import mask_to_template, to_scan, to_template
from uadbids.preproc.transform import read_transform
from uadbids.qc.flags import POOR_OVERLAP

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")

LPS = np.array([-1, -1, 1])
COARSE = PreprocConfig(registration_spacing_mm=4.0)
SCANS = {
    "oblique thick slices": ("LPS", (0.9, 0.9, 3.0), (7, -12, 4)),
    "sagittal": ("PIR", (1.2, 1.2, 1.4), (-5, 3, 10)),
    "left-handed": ("LAS", (1.5, 1.0, 2.0), (0, 15, -6)),
}


def rigid(degrees, shift, centre=(0, 0, 0)):
    """A rotation about a centre, then a shift: 4 x 4, RAS millimetres."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    out[:3, 3] = np.array(centre) - out[:3, :3] @ centre + shift
    return out


def write_transform(matrix, path):
    """Write a RAS matrix as an ITK transform, which speaks LPS."""
    flip = np.diag([-1, -1, 1, 1])
    lps = flip @ matrix @ flip
    ants.write_transform(
        ants.create_ants_transform(
            transform_type="AffineTransform", dimension=3, matrix=lps[:3, :3], offset=lps[:3, 3]
        ),
        str(path),
    )
    return path


def apply_transform(path, points):
    transform = ants.read_transform(str(path))
    return np.array([transform.apply_to_point(point) for point in points * LPS]) * LPS


def brain_points(template, step=20011):
    image = nib.load(template.brain_mask)
    return apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0)[::step])


def matrix_of(path):
    return ants.read_transform(str(path)).parameters[:9].reshape(3, 3)


def distance_to(centre, image):
    """Millimetres from a point, for every voxel."""
    index = np.ogrid[tuple(slice(n) for n in image.shape)]
    rows = [
        sum(row[axis] * index[axis] for axis in range(3)) + row[3] - at
        for row, at in zip(image.affine, centre, strict=False)
    ]
    return np.sqrt(sum(row**2 for row in rows))


def centroid_mm(image, values):
    return apply_affine(image.affine, ndimage.center_of_mass(values))


# --- the rigid fit


def test_the_nearest_rigid_transform_of_an_affine_one_is_its_rotation(template):
    """Size is dropped, and the middle of the brain goes where it went."""
    points = brain_points(template, step=997)
    centre = points.mean(axis=0)
    move = rigid((10, -20, 5), (3, 8, -12), centre)
    bigger = np.diag([1.1, 1.1, 1.1, 1])
    bigger[:3, 3] = -0.1 * centre
    found = _nearest_rigid((move @ bigger)[:3], points)
    np.testing.assert_allclose(found[:, :3], move[:3, :3], atol=1e-4)
    moved = found[:, :3] @ centre + found[:, 3]
    np.testing.assert_allclose(moved - centre, (3, 8, -12), atol=0.01)


def test_a_mirror_image_never_passes_as_a_rotation(template):
    mirror = np.diag([-1.0, 1, 1, 1])[:3]
    found = _nearest_rigid(mirror, brain_points(template, step=997))
    assert np.linalg.det(found[:, :3]) == pytest.approx(1)


def test_a_known_move_is_found_again(template, save, tmp_path):
    """The template itself, at 2 x 2 x 3 mm and turned: the true transform is known."""
    move = rigid((-10, 7, 8), (-14, 9, 11), centre=(0, -18, 10))
    image = nib.load(template.t1w)
    affine = move @ image.affine @ np.diag([2, 2, 3, 1])
    data = np.asarray(image.dataobj)[::2, ::2, ::3].astype(np.float32)
    mask = np.asarray(nib.load(template.brain_mask).dataobj)[::2, ::2, ::3]
    xfm = tmp_path / "xfm.txt"

    facts = register(
        save(data, affine, name="scan.nii"),
        save(mask, affine, name="m.nii"),
        xfm,
        tmp_path / "affine.txt",
        template,
        COARSE,
    )

    points = brain_points(template)
    error = np.linalg.norm(apply_transform(xfm, points) - apply_affine(move, points), axis=1)
    assert error.max() < 1.0
    matrix = matrix_of(xfm)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)
    assert facts["RegistrationOverlap"] > 0.97
    # The affine one, by which places get their names, moves the brain the same way.
    found = apply_affine(read_transform(tmp_path / "affine.txt"), points)
    assert np.linalg.norm(found - apply_affine(move, points), axis=1).max() < 2.5
    angle = np.degrees(Rotation.from_matrix(move[:3, :3]).magnitude())
    assert facts["RegistrationAngleDegrees"] == pytest.approx(angle, abs=0.7)


def test_a_scrap_of_brain_overlaps_little(template, save, tmp_path):
    image = nib.load(template.t1w)
    affine = image.affine @ np.diag([3, 3, 3, 1])
    data = np.asarray(image.dataobj)[::3, ::3, ::3].astype(np.float32)
    mask = np.asarray(nib.load(template.brain_mask).dataobj)[::3, ::3, ::3].copy()
    mask[:, :, :34] = 0
    facts = register(
        save(data, affine, name="scan.nii"),
        save(mask, affine, name="mask.nii"),
        tmp_path / "xfm.txt",
        tmp_path / "affine.txt",
        template,
        PreprocConfig(registration_spacing_mm=6.0),
    )
    assert facts["RegistrationOverlap"] < POOR_OVERLAP


def test_a_brain_whose_lower_part_is_missing_is_looked_at_again(template, save, tmp_path):
    """Its outline alone would pull it downwards; what lies inside tells where it belongs."""
    image = nib.load(template.t1w)
    affine = image.affine @ np.diag([2, 2, 2, 1])
    mask = np.asarray(nib.load(template.brain_mask).dataobj)[::2, ::2, ::2].copy()
    mask[:, :, :22] = 0
    # Fluid around a shrunken brain fills the skull: outline and content disagree.
    data = np.asarray(image.dataobj)[::2, ::2, ::2].astype(np.float32) * mask + 5
    data[:, :, :24] = 5
    scan, cut = save(data, affine, name="scan.nii"), save(mask, affine, name="mask.nii")
    xfm = tmp_path / "xfm.txt"
    register(scan, cut, xfm, tmp_path / "affine.txt", template, PreprocConfig())
    points = brain_points(template)
    assert np.linalg.norm(apply_transform(xfm, points) - points, axis=1).max() < 4.0


@pytest.mark.slow
def test_spikes_do_not_move_a_scan(example, template, tmp_path):
    image, brain = (nib.load(example[key]) for key in ("corrected", "brain"))
    data, inside = np.asarray(image.dataobj).copy(), np.argwhere(np.asarray(brain.dataobj) > 0)
    points = brain_points(template)

    def place(name):
        nib.Nifti1Image(data, image.affine).to_filename(tmp_path / "scan.nii")
        xfm, affine = tmp_path / f"{name}.txt", tmp_path / "affine.txt"
        register(tmp_path / "scan.nii", example["brain"], xfm, affine, template, COARSE)
        return apply_transform(xfm, points)

    before = place("before")
    data[tuple(inside[np.random.default_rng(0).choice(len(inside), 30, replace=False)].T)] = 7100
    assert np.linalg.norm(place("after") - before, axis=1).max() < 1.5


@pytest.mark.slow
def test_another_header_of_the_same_scan_gives_the_same_place(example, template, tmp_path):
    """The example turned by 12 degrees and shifted by 20 mm lands where it lands unturned."""
    move = rigid((9, -6, 5), (12, -14, 8))
    paths = {}
    for name in ("corrected", "brain"):
        image = nib.load(example[name])
        turned = nib.Nifti1Image(np.asarray(image.dataobj), move @ image.affine)
        turned.set_qform(turned.affine, code=1)
        turned.to_filename(tmp_path / f"{name}.nii")
        paths[name] = tmp_path / f"{name}.nii"
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    affine = tmp_path / "affine.txt"
    facts = register(
        example["corrected"], example["brain"], first, affine, template, PreprocConfig()
    )
    register(paths["corrected"], paths["brain"], second, affine, template, PreprocConfig())
    points = brain_points(template)
    there = apply_transform(first, points)
    gap = np.linalg.norm(
        apply_affine(np.linalg.inv(move), apply_transform(second, points)) - there, axis=1
    )
    assert gap.max() < 1.0
    assert facts["RegistrationOverlap"] > POOR_OVERLAP


_AGAIN = """
import sys
from pathlib import Path
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.template import Template
from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.registration import register
from uadbids.preproc.resample import to_template

scan, mask, out = map(Path, sys.argv[1:4])
template, config = Template.packaged(), PreprocConfig(registration_spacing_mm=4.0)
correct_bias(scan, mask, out / "n4.nii", config)
for _ in range(int(sys.argv[4])):
    register(out / "n4.nii", mask, out / "xfm.txt", out / "affine.txt", template, config)
to_template(out / "n4.nii", mask, out / "xfm.txt", out / "t.nii", out / "m.nii", template)
"""


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(example, tmp_path):
    # In one of them the scan is a process's second one.
    for run, times in {"one": "1", "two": "2"}.items():
        (tmp_path / run).mkdir()
        call = [
            sys.executable,
            "-c",
            _AGAIN,
            example["conformed"],
            example["brain"],
            tmp_path / run,
            times,
        ]
        subprocess.run(call, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    for name in ("n4.nii", "xfm.txt", "t.nii", "m.nii"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


# --- there, and home again


@pytest.fixture(params=SCANS.values(), ids=SCANS)
def turned_scan(request, save, affine_of, tmp_path):
    """A scan with an awkward header, conformed, and a known transform from the template."""
    codes, sizes, degrees = request.param
    shape = tuple(round(200 / size) for size in sizes)
    affine = affine_of(codes, sizes, degrees)
    affine[:3, 3] = (2, -15, 12) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    values = np.random.default_rng(0).uniform(20, 100, shape).astype(np.float32)
    source = save(values, affine, name="source.nii")
    conform(source, tmp_path / "conformed.nii")
    move = rigid((8, -5, 11), (4, -9, 6))
    xfm = write_transform(move, tmp_path / "xfm.txt")
    return {"source": source, "conformed": tmp_path / "conformed.nii", "xfm": xfm, "move": move}


def assert_same_header(path, source):
    home, there = nib.load(path), nib.load(source)
    assert home.shape == there.shape
    for field in ("srow_x", "srow_y", "srow_z", "qform_code", "sform_code", "quatern_b"):
        np.testing.assert_array_equal(home.header[field], there.header[field])
    np.testing.assert_array_equal(home.header["pixdim"][:4], there.header["pixdim"][:4])


def test_a_ball_of_the_template_comes_home_to_its_place(turned_scan, template, tmp_path):
    native = np.array([31.0, -40.0, 22.0])
    at = apply_affine(np.linalg.inv(turned_scan["move"]), native)
    grid = nib.load(template.t1w)
    template.save((distance_to(at, grid) < 9).astype(np.float32), tmp_path / "map.nii")

    to_scan(
        tmp_path / "map.nii",
        turned_scan["xfm"],
        turned_scan["conformed"],
        turned_scan["source"],
        tmp_path / "home.nii.gz",
        "map",
    )

    home = nib.load(tmp_path / "home.nii.gz")
    values = np.asarray(home.dataobj)
    assert_same_header(tmp_path / "home.nii.gz", turned_scan["source"])
    assert home.get_data_dtype() == np.float32 and 0 <= values.min() < values.max() <= 1
    np.testing.assert_allclose(centroid_mm(home, values), native, atol=0.3)
    volume = values.sum() * np.prod(home.header.get_zooms())
    assert volume == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.05)


def test_labels_come_home_with_their_numbers(turned_scan, template, tmp_path):
    grid = nib.load(template.t1w)
    labels = np.zeros(grid.shape, np.int32)
    wanted = {3: (30, -40, 22), 7: (-25, 10, 30), 70001: (0, -60, -5)}
    for number, native in wanted.items():
        at = apply_affine(np.linalg.inv(turned_scan["move"]), native)
        labels[distance_to(at, grid) < 8] = number
    template.save(labels, tmp_path / "labels.nii")

    to_scan(
        tmp_path / "labels.nii",
        turned_scan["xfm"],
        turned_scan["conformed"],
        turned_scan["source"],
        tmp_path / "home.nii.gz",
        "labels",
    )

    home = nib.load(tmp_path / "home.nii.gz")
    found = np.asarray(home.dataobj)
    assert found.dtype == np.int32 and set(np.unique(found)) == {0, *wanted}
    for number, native in wanted.items():
        np.testing.assert_allclose(centroid_mm(home, found == number), native, atol=0.5)


def test_a_ball_of_the_scan_lies_where_the_transform_says(turned_scan, template, save, tmp_path):
    native = np.array([20.0, -45.0, 25.0])
    image = nib.load(turned_scan["conformed"])
    near = distance_to(native, image)
    data = np.where(near < 10, 1000, 100).astype(np.float32)
    scan = save(data, image.affine, name="bright.nii")
    brain = save((near < 60).astype(np.uint8), image.affine, name="brain.nii")
    out, out_mask = tmp_path / "out.nii", tmp_path / "out_mask.nii"

    to_template(scan, brain, turned_scan["xfm"], out, out_mask, template)

    moved, mask = nib.load(out), np.asarray(nib.load(out_mask).dataobj) > 0
    values = np.asarray(moved.dataobj)
    at = apply_affine(np.linalg.inv(turned_scan["move"]), native)
    assert moved.shape == (170, 204, 170) and moved.get_data_dtype() == np.float32
    np.testing.assert_allclose(centroid_mm(moved, np.maximum(values - 100, 0)), at, atol=0.3)
    assert (values[~mask] == 0).all() and values[mask].min() >= 99
    wrong = mask != (distance_to(at, moved) < 60)
    assert wrong.sum() < 0.06 * mask.sum()


def test_a_drawn_mask_follows_the_scan_to_the_template(turned_scan, template, save, tmp_path):
    native = np.array([-20.0, -30.0, 15.0])
    source = nib.load(turned_scan["source"])
    drawn = save(
        3 * (distance_to(native, source) < 9).astype(np.int16), source.affine, name="drawn.nii"
    )
    out = tmp_path / "out.nii.gz"
    mask_to_template(drawn, turned_scan["conformed"], turned_scan["xfm"], out, template)
    image = nib.load(out)
    found = np.asarray(image.dataobj)
    at = apply_affine(np.linalg.inv(turned_scan["move"]), native)
    assert set(np.unique(found)) == {0, 1}
    np.testing.assert_allclose(centroid_mm(image, found), at, atol=0.3)
    assert found.sum() == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.06)


def test_a_brain_outside_the_template_is_refused(turned_scan, template, save, tmp_path):
    image = nib.load(turned_scan["conformed"])
    mask = save(np.ones(image.shape, np.uint8), image.affine, name="brain.nii")
    far = write_transform(rigid((0, 0, 0), (900, 0, 0)), tmp_path / "far.txt")
    outs = (tmp_path / "out.nii", tmp_path / "mask.nii")
    with pytest.raises(ScanError, match="no brain lies inside the template"):
        to_template(turned_scan["conformed"], mask, far, *outs, template)
    assert not any(out.exists() for out in outs)


def test_corners_of_the_scan_beyond_the_template_come_home_as_zero(turned_scan, template, tmp_path):
    template.save(np.ones((170, 204, 170), np.float32), tmp_path / "map.nii")
    files = (turned_scan["xfm"], turned_scan["conformed"], turned_scan["source"])
    to_scan(tmp_path / "map.nii", *files, tmp_path / "home.nii.gz", "map")
    home = nib.load(tmp_path / "home.nii.gz")
    corners = np.array(list(product(*[(0, n - 1) for n in home.shape])))
    places = apply_affine(
        np.linalg.inv(template.affine) @ np.linalg.inv(turned_scan["move"]) @ home.affine, corners
    )
    beyond = ((places < -1) | (places > np.array([170, 204, 170]))).any(axis=1)
    assert beyond.any()
    assert (np.asarray(home.dataobj)[tuple(corners[beyond].T)] == 0).all()
    assert np.asarray(home.dataobj)[tuple(n // 2 for n in home.shape)] == pytest.approx(1)
