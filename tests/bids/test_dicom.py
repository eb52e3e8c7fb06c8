"""DICOM in, the FLAIR out: by its header, without a person's name, with the voxels as they were."""

import json
import tarfile
import zipfile

import nibabel as nib
import numpy as np
import pytest

from dicoms import FLAIR, T1, write_enhanced, write_series
from uadbids.bids.dicom import find_flair, write_flair
from uadbids.errors import UsageError


@pytest.fixture(scope="module")
def image() -> nib.Nifti1Image:
    """A small oblique image, no two slices, rows or columns alike."""
    voxels = np.random.default_rng(0).integers(0, 4000, (12, 14, 10)).astype(np.uint16)
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.1, 0.2, -0.1) @ np.diag([-0.9, -0.9, 3.0]), [60, 70, -20]
    )
    return nib.Nifti1Image(voxels, affine)


@pytest.fixture
def found(tmp_path):
    """Look for the FLAIR, in an empty folder of its own."""
    folder = tmp_path / "found"

    def find(source, number=None):
        folder.mkdir()
        return find_flair(source, folder, number)

    return find


@pytest.fixture
def study(tmp_path, image):
    """Folder with a T1, a FLAIR whose description does not say so, and a reformatted copy of it."""
    folder = tmp_path / "study"
    write_series(folder / "a", image, 3, **T1)
    write_series(folder / "a" / "b", image, 5, **FLAIR)
    copied = {**FLAIR, "ImageType": ["DERIVED", "SECONDARY", "MPR"], "SeriesDescription": "flair"}
    write_series(folder, image, 7, **copied)
    return folder


def same(one: nib.Nifti1Image, two: nib.Nifti1Image) -> bool:
    """Whether two images place the same voxels in the same way."""
    first, second = (nib.as_closest_canonical(each) for each in (one, two))
    np.testing.assert_allclose(first.affine, second.affine, atol=2e-5)
    return np.array_equal(np.asanyarray(first.dataobj), np.asanyarray(second.dataobj))


def test_the_flair_is_found_by_its_header(study, image, found):
    series = found(study)
    assert series.number == 5
    assert same(nib.load(series.image), image)


def test_a_series_is_taken_by_its_number(study, found):
    assert found(study, 3).title == "3 (t1 mprage)"


def test_a_file_of_many_frames_is_the_same_image(tmp_path, image, found):
    series = found(write_enhanced(tmp_path / "one.dcm", image, 5, **FLAIR))
    assert series.is_flair
    assert same(nib.load(series.image), image)


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_archives_are_unpacked(tmp_path, study, image, found, ending):
    archive = tmp_path / f"study.{ending}"
    files = [path for path in study.rglob("*") if path.is_file()]
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in files:
                packed.write(path, f"../{path.name}")
    else:
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(study, "study")
    assert same(nib.load(found(archive).image), image)
    assert not list(tmp_path.glob("*.dcm"))


def test_nothing_that_names_a_person_is_written(tmp_path, study, image, found):
    series = found(study)
    assert series.header["PatientName"] == "Somebody^1"
    written = write_flair(series, tmp_path / "flair")
    again = nib.load(written[0])
    assert same(again, image)
    assert again.header["descrip"] == again.header["aux_file"] == b""
    content = json.loads(written[1].read_text())
    assert content["InversionTime"] == 2.5 and content["MagneticFieldStrength"] == 3
    assert not {key for key in content if key.startswith(("Patient", "Acquisition", "Study"))}
    assert "Somebody" not in written[1].read_text()


@pytest.mark.parametrize(
    ("header", "is_flair"),
    [
        ({"InversionTime": 1800, "EchoTime": 390}, True),  # 3D
        ({"InversionTime": 900, "EchoTime": 10}, False),  # T1-weighted FLAIR
        ({"InversionTime": 200, "EchoTime": 80}, False),  # STIR
        ({"SeriesDescription": "t2_DIR_3D"}, False),
        ({"InversionTime": None, "SeriesDescription": "Ax T2 FLAIR"}, True),
        ({"InversionTime": None, "SeriesDescription": "t2_tirm_tra_dark-fluid"}, True),
        ({"InversionTime": None, "SeriesDescription": "Ax T1 FLAIR"}, False),
        ({"InversionTime": None, "SeriesDescription": "Ax T2"}, False),
    ],
)
def test_what_a_flair_is(tmp_path, image, found, header, is_flair):
    series = found(write_series(tmp_path / "one", image, 2, **{**FLAIR, **header}), 2)
    assert series.is_flair is is_flair


def test_several_are_asked_for(study, image, found):
    write_series(study, image, 9, **{**FLAIR, "SeriesDescription": "sag"})
    with pytest.raises(UsageError, match=r"several FLAIR series, 5 \(ax t2\), 9 \(sag\); choose"):
        found(study)


def test_a_localiser_is_no_flair(tmp_path, image, found):
    write_series(tmp_path / "few", image.slicer[:, :, :3], 1, **FLAIR)
    with pytest.raises(UsageError, match="no FLAIR"):
        found(tmp_path / "few")


def test_a_study_without_a_flair_names_what_it_holds(tmp_path, image, found):
    write_series(tmp_path / "t1", image, 3, **T1)
    with pytest.raises(UsageError, match=r"no FLAIR among its series, 3 \(t1 mprage\)"):
        found(tmp_path / "t1")


def test_patients_are_told_apart(study, image, found):
    write_series(study / "other", image, 3, patient="2", **T1)
    with pytest.raises(UsageError, match="images of 2 patients"):
        found(study)


def test_an_empty_folder(tmp_path, found):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(UsageError, match="the folder is empty"):
        found(tmp_path / "empty")


def test_files_that_are_none(tmp_path, found):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "1.dcm").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UsageError, match="none of its 1 files is a DICOM image that can be read"):
        found(tmp_path / "some")


def test_a_folder_of_nifti_files(tmp_path, image, found):
    (tmp_path / "some").mkdir()
    image.to_filename(tmp_path / "some" / "flair.nii.gz")
    with pytest.raises(UsageError, match="give its NIfTI files one by one"):
        found(tmp_path / "some")


def test_an_encrypted_archive(tmp_path, study, found):
    """It is marked as such by hand: Python reads encrypted archives, and writes none."""
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(study / "7-000.dcm", "1")
    content = bytearray(archive.read_bytes())
    for sign, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(sign) + place] |= 1
    archive.write_bytes(content)
    with pytest.raises(UsageError, match="the archive is encrypted; unpack it"):
        found(archive)


def test_a_damaged_archive(tmp_path, study, found):
    archive = tmp_path / "study.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(study, "study")
    archive.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(UsageError, match="it cannot be unpacked"):
        found(archive)
