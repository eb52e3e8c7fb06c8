import gzip
from itertools import permutations

import ants
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from uadbids.errors import ScanError
from uadbids.preproc.conform import check_image, conform, on_grid_of
from uadbids.preproc.resample import write_like_source

GEOMETRY = (
    "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "qform_code", "sform_code",
)  # fmt: skip


def numbered(shape=(9, 11, 8), dtype=np.float32):
    """Every voxel has a value of its own, so that each can be found again."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def head(shape=(24, 26, 20)):
    """An ellipsoid of noise in a background of zeros."""
    grid = np.meshgrid(*[np.linspace(-1.3, 1.3, n) for n in shape], indexing="ij")
    inside = sum(axis**2 for axis in grid) < 1
    noise = np.random.default_rng(3).uniform(50, 150, shape)
    return np.where(inside, noise, 0).astype(np.float32), inside


def conformed(path):
    out = path.with_name("conformed.nii.gz")
    facts = conform(path, out)
    return nib.load(out), facts


def assert_same_places(image, data, affine, tolerance=0.02):
    """Each value lies at the same millimetre in the conformed image as in the source."""
    found = np.rint(np.asarray(image.dataobj)).astype(int).ravel()
    here = apply_affine(image.affine, np.array(list(np.ndindex(image.shape))))
    there = apply_affine(affine, np.array(list(np.ndindex(data.shape))))
    at = np.empty_like(there)
    at[np.rint(data).astype(int).ravel()] = there
    np.testing.assert_allclose(here, at[found], atol=tolerance)


def test_the_example_scan_becomes_one_ras_image(example_flair, tmp_path):
    facts = conform(example_flair, tmp_path / "out.nii.gz")
    image = nib.load(tmp_path / "out.nii.gz")
    assert facts["SourceOrientation"] == "LPS" and facts["SourceGeometry"] == "sform"
    assert facts["SourceVoxelSizeMm"] == [0.8984, 0.8984, 2.9985] and facts["Warnings"] == []
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.get_data_dtype() == np.float32 and image.shape == (256, 256, 44)
    source = nib.load(example_flair)
    np.testing.assert_array_equal(
        np.sort(np.asarray(image.dataobj), axis=None), np.sort(source.dataobj, axis=None)
    )


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "AIL", "SRA"])
def test_each_orientation_becomes_ras_and_no_voxel_moves(codes, save, affine_of):
    affine = affine_of(codes, (0.9, 1.1, 3.0), (12, -20, 7), (-40, 25, 60))
    data = numbered()
    image, facts = conformed(save(data, affine))
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert facts["SourceOrientation"] == "".join(nib.aff2axcodes(affine))
    assert_same_places(image, data, affine)


def test_both_codes_of_the_result_hold_one_affine(save, affine_of):
    image, _ = conformed(save(numbered(), affine_of("PIR", (1, 2, 3), (10, 20, 30))))
    assert image.get_qform(coded=True)[1] == image.get_sform(coded=True)[1] == 1
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"


@given(
    moves=hnp.arrays(np.float64, (3, 4), elements=st.floats(-1, 1)),
    axes=st.sampled_from(list(permutations(range(3)))),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
)
@settings(max_examples=25)
def test_the_last_digits_of_a_header_decide_nothing(tmp_path_factory, moves, axes, flips):
    """The edges of the example's voxels and its origin, and voxels stored in any order.

    No number of this geometry lies within a tenth of a step of where rounding jumps.
    """
    affine = np.array(
        [
            [0.89232, -0.07501, -0.24242, -37.2531], [-0.08903, -0.87312, -0.64147, 134.7372],
            [0.05452, -0.19808, 2.91912, -18.8522], [0, 0, 0, 1],
        ]
    )  # fmt: skip
    folder, data = tmp_path_factory.mktemp("digits"), numbered()
    expected = folder / "expected.nii"
    nib.Nifti1Image(data, affine).to_filename(folder / "scan.nii")
    conform(folder / "scan.nii", expected)
    # What single precision and decimal strings leave of a number, and more.
    moved = affine + np.vstack([moves * (2e-6, 2e-6, 2e-6, 5e-6), np.zeros(4)])
    order = np.stack([axes, flips], axis=1)
    back = nib.orientations.inv_ornt_aff(order, data.shape)
    turned = nib.orientations.apply_orientation(data, order)
    nib.Nifti1Image(np.ascontiguousarray(turned), moved @ back).to_filename(folder / "moved.nii")
    conform(folder / "moved.nii", folder / "out.nii")
    assert (folder / "out.nii").read_bytes() == expected.read_bytes()


def test_rounding_moves_no_corner_by_what_an_image_could_tell(example_flair, tmp_path):
    conform(example_flair, tmp_path / "out.nii.gz")
    source = nib.as_closest_canonical(nib.load(example_flair))
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(source.shape) - 1)
    places = [
        apply_affine(image.affine, corners) for image in (source, nib.load(tmp_path / "out.nii.gz"))
    ]
    assert np.linalg.norm(places[0] - places[1], axis=1).max() < 0.02


# --- which geometry counts


def test_the_sform_wins_over_another_qform_and_says_so(save, affine_of):
    sform, qform = affine_of("LAS", origin=(5, 6, 7)), affine_of("RAS", origin=(90, 0, 0))
    data = numbered()
    image, facts = conformed(save(data, sform, qform=qform))
    assert_same_places(image, data, sform)
    assert facts["SourceGeometry"] == "sform"
    assert "sform and qform place the image differently" in facts["Warnings"][0]


def test_the_qform_counts_where_the_sform_has_no_code(save, affine_of):
    sform, qform = affine_of("RAS"), affine_of("LPS", (1, 1, 3), (0, 15, 0), (9, 9, 9))
    data = numbered()
    image, facts = conformed(save(data, sform, qform=qform, codes=(1, 0)))
    assert_same_places(image, data, qform)
    assert facts["SourceGeometry"] == "qform" and facts["Warnings"] == []


def test_without_codes_the_voxel_sizes_count_and_a_warning_says_so(save, affine_of):
    path = save(numbered(), affine_of("RAS", (2, 3, 4)), codes=(0, 0))
    image, facts = conformed(path)
    assert facts["SourceGeometry"] == "voxel sizes"
    assert "neither sform nor qform" in facts["Warnings"][0]
    np.testing.assert_allclose(image.header.get_zooms(), (2, 3, 4))
    assert_same_places(image, numbered(), nib.load(path).affine)


def test_a_qform_that_is_no_rotation_does_not_hinder_a_good_sform(
    save, affine_of, rewrite_header, tmp_path
):
    affine = affine_of("LPS", (1, 1, 3), (0, 10, 0))
    path = save(numbered(), affine)
    rewrite_header(path, quatern_b=0.9, quatern_c=0.9, quatern_d=0.9)
    image, facts = conformed(path)
    assert facts["SourceGeometry"] == "sform"
    assert_same_places(image, numbered(), affine)
    write_like_source(np.asarray(image.dataobj), path, tmp_path / "home.nii.gz")
    home = nib.load(tmp_path / "home.nii.gz")
    assert float(home.header["quatern_b"]) == pytest.approx(0.9)
    np.testing.assert_array_equal(home.dataobj, numbered())


def test_shear_is_refused_but_rounding_is_straightened(save):
    shear = np.diag([1.0, 1, 3, 1])
    shear[0, 1] = 0.3
    with pytest.raises(ScanError, match="the sform shears the image"):
        conformed(save(numbered(), shear, qform=np.eye(4)))
    shear[0, 1] = 0.004
    image, _ = conformed(save(numbered(), shear, qform=np.eye(4)))
    cosines = image.affine[:3, :3] / nib.affines.voxel_sizes(image.affine)
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-6)
    assert_same_places(image, numbered(), shear, tolerance=0.1)
    assert ants.image_read(image.get_filename()).shape == image.shape


@pytest.mark.parametrize(
    "row", [(0, 0, 0, 0), (np.nan, 0, 0, 0), (0, 1, 0, 0)], ids=["zero", "nan", "parallel"]
)
def test_a_singular_sform_is_refused(row, save, rewrite_header):
    path = save(numbered())
    rewrite_header(path, srow_x=row)
    with pytest.raises(ScanError, match=r"scan.nii: the sform (of the header is singular|shears)"):
        conformed(path)


# --- what counts as one volume


def test_a_series_of_one_volume_is_that_volume(save):
    image, _ = conformed(save(numbered()[..., None]))
    np.testing.assert_array_equal(image.dataobj, numbered())


def test_a_series_of_several_volumes_is_refused(save):
    with pytest.raises(ScanError, match="9x11x8x2; one 3D volume is needed"):
        conformed(save(np.stack([numbered(), numbered()], axis=-1)))


@pytest.mark.parametrize("shape", [(7, 30, 30), (30, 30, 1), (30, 30)])
def test_too_few_voxels_are_refused(shape, save):
    with pytest.raises(ScanError, match=r"voxels are too few|one 3D volume is needed"):
        conformed(save(numbered(shape)))


# --- values


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64, ">i2"])
def test_stored_types_become_float32_values(dtype, save):
    data = (numbered() % 200).astype(dtype)
    image, _ = conformed(save(data))
    np.testing.assert_array_equal(image.dataobj, data.astype(np.float32))
    assert image.get_data_dtype() == np.float32


def test_slope_and_intercept_are_applied(save, rewrite_header):
    path = save(numbered(dtype=np.int16))
    rewrite_header(path, scl_slope=0.5, scl_inter=7)
    image, _ = conformed(path)
    np.testing.assert_allclose(image.dataobj, numbered() * 0.5 + 7)


def test_negative_values_are_lifted_to_zero(save):
    image, _ = conformed(save(numbered() - 100))
    np.testing.assert_array_equal(image.dataobj, numbered())


def test_nan_around_the_head_is_filled_with_the_minimum(save):
    data, inside = head()
    image, facts = conformed(save(np.where(inside, data, np.nan).astype(np.float32)))
    filled = np.asarray(image.dataobj)
    np.testing.assert_array_equal(filled[inside], data[inside])
    assert (filled[~inside] == data[inside].min()).all()
    assert facts["Warnings"] == [
        f"{(~inside).sum()} background voxels that were not numbers were set to the minimum"
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_holes_in_the_head_are_refused(value, save):
    data, _ = head()
    data[10:14, 10:14, 8:12] = value
    with pytest.raises(ScanError, match="64 voxels inside the image are not finite"):
        conformed(save(data))


def test_an_image_of_nan_is_refused(save):
    with pytest.raises(ScanError, match="no voxel holds a finite number"):
        conformed(save(np.full((9, 9, 9), np.nan, dtype=np.float32)))


@pytest.mark.parametrize("value", [0, 7])
def test_an_image_without_contrast_is_refused(value, save):
    with pytest.raises(ScanError, match=f"every voxel has the value {value}"):
        conformed(save(np.full((9, 9, 9), value, dtype=np.int16)))


@pytest.mark.parametrize("dtype", ["complex64", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_values_that_are_no_grey_values_are_refused(dtype, save):
    with pytest.raises(ScanError, match="are no grey values; give the magnitude image"):
        conformed(save(np.zeros((9, 9, 9), dtype=dtype)))


@pytest.mark.parametrize("values", [(0, 1), (0, 1000), (0, 1, 2, 3)])
def test_a_mask_is_no_scan(values, save):
    data = np.random.default_rng(0).choice(np.array(values, dtype=np.int16), (12, 12, 12))
    with pytest.raises(ScanError, match=f"it holds {len(values)} different values: this is a mask"):
        conformed(save(data))


@pytest.mark.parametrize(
    "fields",
    [{"scl_slope": 0}, {"scl_slope": np.nan}, {"scl_slope": np.inf}, {"pixdim": [1, *[0] * 7]},
     {"pixdim": [1, -2, 2, 3, 0, 0, 0, 0]}, {"pixdim": [1, np.nan, 2, 3, 0, 0, 0, 0]},
     {"pixdim": [1, 1, 1, 1, 0, 0, 0, 0]}],
    ids=str,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_odd_fields_of_a_header_change_no_value_and_no_place(fields, save, rewrite_header):
    affine = np.diag([2.0, 2, 3, 1])
    # The centre of the image at the origin.
    affine[:3, 3] = -(np.array(numbered().shape) - 1) / 2 * (2, 2, 3)
    path = save(numbered(dtype=np.int16), affine)
    rewrite_header(path, **fields)
    image, _ = conformed(path)
    assert_same_places(image, numbered(), affine)


def test_what_lies_between_header_and_voxels_is_passed_over(save, rewrite_header, tmp_path):
    path = save(numbered(dtype=np.int16))
    raw = path.read_bytes()
    rewrite_header(path, vox_offset=1024)
    header = path.read_bytes()[:348]
    path.write_bytes(header + bytes(1024 - 348) + raw[352:])
    image, _ = conformed(path)
    np.testing.assert_array_equal(image.dataobj, numbered())
    image = nib.Nifti1Image(numbered(dtype=np.int16), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a" * 5000))
    image.to_filename(path)
    np.testing.assert_array_equal(conformed(path)[0].dataobj, numbered())


def test_parts_of_gzip_and_zeros_behind_them_are_one_file(save, tmp_path):
    raw = save(numbered(dtype=np.int16)).read_bytes()
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(raw[:900]) + gzip.compress(raw[900:]) + bytes(512))
    check_image(path)
    np.testing.assert_array_equal(conformed(path)[0].dataobj, numbered())


# --- damaged files


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ScanError, match=r"gone.nii.gz: the file is not there"):
        conform(tmp_path / "gone.nii.gz", tmp_path / "out.nii.gz")


@pytest.mark.parametrize("content", [b"", b"not an image at all" * 40, b"\x1f\x8b\x08\x00cut"])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_that_is_no_nifti_is_told(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScanError, match=f"{name}: this is no readable NIfTI image"):
        conform(tmp_path / name, tmp_path / "out.nii.gz")
    assert not (tmp_path / "out.nii.gz").exists()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("kept", [0.3, 0.98])
def test_a_file_cut_short_is_told(name, kept, save, tmp_path):
    noise = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    path = save(noise, name=name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ScanError, match=r"the file ends before the image does, or is damaged"):
        conform(path, tmp_path / "out.nii.gz")


def test_a_file_whose_name_and_packing_disagree_says_what_to_do(save, tmp_path):
    path = save(numbered()).rename(tmp_path / "plain.nii.gz")
    with pytest.raises(ScanError, match=r"\(it is not packed by gzip: rename it to .nii\)"):
        conform(path, tmp_path / "out.nii.gz")
    path = save(numbered(), name="scan.nii.gz").rename(tmp_path / "packed.nii")
    with pytest.raises(ScanError, match=r"\(it is packed by gzip: rename it to .nii.gz\)"):
        conform(path, tmp_path / "out.nii.gz")


@pytest.mark.parametrize(("code", "unit", "factor"), [(1, "metre", 1e-3), (3, "micron", 1e3)])
def test_other_units_than_millimetres_are_named(code, unit, factor, save, rewrite_header):
    path = save(numbered(), np.diag([factor, factor, 3 * factor, 1]))
    rewrite_header(path, xyzt_units=code)
    with pytest.raises(ScanError, match=rf"voxels of .* {unit}; write sform and voxel"):
        conformed(path)
    path = save(numbered(), np.diag([1, 1, 3, 1]))
    rewrite_header(path, xyzt_units=code)
    image, facts = conformed(path)
    assert facts["Warnings"] == [
        f"the header gives voxels of 1 x 1 x 3 {unit}; they were taken as mm"
    ]
    np.testing.assert_allclose(image.header.get_zooms(), (1, 1, 3))


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid x\n", b"/annex/objects/x\n"]
)
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_that_stands_for_content_elsewhere_is_to_be_fetched(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScanError, match="it stands for content that is not here: fetch it"):
        conform(tmp_path / name, tmp_path / "out.nii.gz")


def test_another_format_is_told(tmp_path):
    nib.MGHImage(numbered(), np.eye(4)).to_filename(tmp_path / "scan.mgz")
    with pytest.raises(ScanError, match="not a NIfTI image; convert it"):
        conform(tmp_path / "scan.mgz", tmp_path / "out.nii.gz")


# --- masks of the same scan


def test_a_mask_in_another_voxel_order_finds_its_voxels(save, affine_of, tmp_path):
    affine = affine_of("LPS", (0.9, 0.9, 3), (8, 0, 5), (30, 40, -20))
    data = numbered()
    conform(save(data, affine), tmp_path / "conformed.nii.gz")
    chosen = (data > 300) & (data < 420)
    turned = nib.as_closest_canonical(nib.Nifti1Image(chosen.astype(np.uint8), affine))
    path = save(np.asarray(turned.dataobj), turned.affine, name="mask.nii")
    found = on_grid_of(tmp_path / "conformed.nii.gz", path)
    values = np.asarray(nib.load(tmp_path / "conformed.nii.gz").dataobj)
    np.testing.assert_array_equal(np.sort(values[found]), np.sort(data[chosen]))


def test_a_mask_with_the_scans_own_rounding_shear_fits(save, tmp_path):
    shear = np.diag([5.0, 5, 5, 1])
    shear[0, 1] = 0.045
    data = numbered((40, 40, 40))
    conform(save(data, shear, qform=np.eye(4)), tmp_path / "conformed.nii.gz")
    mask = save((data > 9).astype(np.uint8), shear, qform=np.eye(4), name="mask.nii")
    assert on_grid_of(tmp_path / "conformed.nii.gz", mask).sum() == (data > 9).sum()


def test_a_mask_of_one_volume_in_four_dimensions_fits(save, tmp_path):
    conform(save(numbered()), tmp_path / "conformed.nii.gz")
    mask = save((numbered() > 5).astype(np.uint8)[..., None], name="mask.nii")
    assert on_grid_of(tmp_path / "conformed.nii.gz", mask).sum() == numbered().size - 6


@pytest.mark.parametrize(
    ("shape", "shift"), [((9, 11, 9), 0.0), ((9, 11, 8), 1.0)], ids=["shape", "place"]
)
def test_a_mask_on_another_grid_is_refused(shape, shift, save, affine_of, tmp_path):
    conform(save(numbered()), tmp_path / "conformed.nii.gz")
    mask = save(np.ones(shape, np.uint8), affine_of("RAS", origin=(shift, 0, 0)), name="mask.nii")
    with pytest.raises(ScanError, match=r"mask.nii: the mask does not lie on the grid of its scan"):
        on_grid_of(tmp_path / "conformed.nii.gz", mask)


def test_a_damaged_mask_is_told(save, tmp_path):
    conform(save(numbered()), tmp_path / "conformed.nii.gz")
    mask = save(np.ones((9, 11, 8), np.uint8), name="mask.nii")
    mask.write_bytes(mask.read_bytes()[:500])
    with pytest.raises(ScanError, match=r"mask.nii: the file ends before"):
        on_grid_of(tmp_path / "conformed.nii.gz", mask)


# --- there and back, for every header

angles = st.one_of(st.floats(-180, 180, width=32), st.sampled_from([0.0, 45.0, 90.0, -135.0]))
sizes = st.floats(0.5, 6.0, width=32)
shifts = st.floats(-200, 200, width=32)


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations((0, 1, 2)),
    flips=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    degrees=st.tuples(angles, angles, angles),
    voxel=st.tuples(sizes, sizes, sizes),
    shift=st.tuples(shifts, shifts, shifts),
    codes=st.sampled_from([(1, 1), (0, 2), (3, 0), (0, 0), (4, 4)]),
    shape=st.tuples(*[st.integers(8, 11)] * 3),
)
def test_conform_moves_no_voxel_and_the_way_home_is_exact(
    tmp_path_factory, order, flips, degrees, voxel, shift, codes, shape
):
    folder = tmp_path_factory.getbasetemp() / "there-and-back"
    folder.mkdir(exist_ok=True)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * flips * voxel
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = shift
    data = numbered(shape, np.int16)
    written = nib.Nifti1Image(data, affine)
    written.set_qform(affine, code=codes[0])
    written.set_sform(affine, code=codes[1])
    written.to_filename(folder / "scan.nii.gz")

    conform(folder / "scan.nii.gz", folder / "conformed.nii.gz")

    source, image = nib.load(folder / "scan.nii.gz"), nib.load(folder / "conformed.nii.gz")
    assert_same_places(image, data, source.affine)
    assert np.linalg.det(image.affine[:3, :3]) > 0
    seen = ants.image_read(str(folder / "conformed.nii.gz"))
    np.testing.assert_allclose(seen.origin, image.affine[:3, 3] * (-1, -1, 1), atol=1e-3)

    write_like_source(np.asarray(image.dataobj), folder / "scan.nii.gz", folder / "home.nii.gz")
    home = nib.load(folder / "home.nii.gz")
    np.testing.assert_array_equal(home.dataobj, data)
    for field in GEOMETRY:
        np.testing.assert_array_equal(home.header[field], source.header[field])
    np.testing.assert_array_equal(home.header["pixdim"][:4], source.header["pixdim"][:4])
    np.testing.assert_array_equal(home.affine, source.affine)
