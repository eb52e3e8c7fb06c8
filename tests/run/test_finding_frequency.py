"""Where findings lie in a study: small masks whose average is known."""

import json

import nibabel as nib
import numpy as np
import pytest

from uadbids.bids.names import derivative_path
from uadbids.bids.scan import Scan
from uadbids.model.bundle import find_bundle
from uadbids.run.finding_frequency import finding_frequency
from uadbids.run.group import examined_slices

SHAPE = (6, 5, 4)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def save(path, data, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(data, affine).to_filename(path)


@pytest.fixture
def template(tmp_path):
    save(tmp_path / "template.nii.gz", np.ones(SHAPE, np.uint8))
    return tmp_path / "template.nii.gz"


def add(root, name, *voxels, shape=SHAPE, affine=AFFINE):
    """Write the mask of a scan such as ``01_1_2``: participant, session, run."""
    keys = ("subject", "session", "run")
    scan = Scan(root / "x.nii.gz", dict(zip(keys, name.split("_"), strict=False)))
    mask = np.zeros(shape, np.uint8)
    for voxel in voxels:
        mask[voxel] = 1
    save(root / derivative_path(scan, "template_lesions"), mask, affine)
    return scan


def test_every_participant_counts_once_and_every_session_of_one_alike(tmp_path, template):
    a, b, c = (0, 0, 0), (1, 2, 3), (5, 4, 3)
    scans = [
        add(tmp_path, "02", b),
        add(tmp_path, "01_1_1", a, b),
        add(tmp_path, "01_1_2", a),
        add(tmp_path, "01_2_1", c),
        add(tmp_path, "03"),
    ]
    found = finding_frequency(tmp_path, scans, template)
    assert (found.participants, found.scans, found.unreadable) == (3, 5, {})
    assert found.share[a] == pytest.approx(1 / 2 / 3)
    assert found.share[b] == pytest.approx((1 / 4 + 1) / 3)
    assert found.share[c] == pytest.approx(1 / 2 / 3)
    assert np.count_nonzero(found.share) == 3


def test_order_of_the_scans_changes_no_bit(tmp_path, template):
    rng = np.random.default_rng(0)
    scans = [
        add(tmp_path, f"{n:02d}_{s}", *map(tuple, rng.integers(0, 4, (9, 3))))
        for n in range(7)
        for s in (1, 2, 3)
    ]
    for name, order in (("a", scans), ("b", scans[::-1])):
        finding_frequency(tmp_path, order, template).save(tmp_path / f"{name}.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.float32 and np.allclose(image.affine, AFFINE)


def test_damaged_masks_and_those_of_another_grid_are_left_out_and_told(tmp_path, template):
    voxel = (1, 1, 1)
    good = add(tmp_path, "01_1", voxel)
    damaged = add(tmp_path, "01_2", voxel)
    path = tmp_path / derivative_path(damaged, "template_lesions")
    path.write_bytes(path.read_bytes()[:40])
    moved = add(tmp_path, "02", voxel, affine=AFFINE + np.eye(4)[:, ::-1])
    small = add(tmp_path, "03", voxel, shape=(5, 5, 4))
    found = finding_frequency(tmp_path, [good, damaged, moved, small], template)
    assert set(found.unreadable) == {"sub-01_ses-2", "sub-02", "sub-03"}
    assert (found.participants, found.scans) == (1, 1)
    # The session that cannot be read does not count as one without a finding.
    assert found.share[voxel] == 1


def test_nothing_readable_is_nothing_found(tmp_path, template):
    scan = add(tmp_path, "01", (1, 1, 1), shape=(2, 2, 2))
    found = finding_frequency(tmp_path, [scan], template)
    assert found.scans == 0 and not found.share.any()


def test_all_of_a_brain_is_drawn_where_a_reader_examines_it():
    card = json.loads((find_bundle("dense3d") / "card.json").read_text())
    assert examined_slices(card) is None
    start, size = card["crop"]["start"][2], card["crop"]["shape"][2]
    assert examined_slices({**card, "reader": None}) == slice(start, start + size)
    assert examined_slices({}) is None
