"""Sessions compared as users do it: no change, growth, what is new, and what cannot be compared."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from heads import COARSER, Head, new_dataset, save, stripped, without_skull
from runs import Run, examined_once
from uadbids.bids.scan import FinishedScan, parse_entities
from uadbids.run.longitudinal import alike, write_flat

GREW, APPEARED = (159, 140, 31), (97, 145, 31)
"""Voxels of the example in white matter, where lesions are painted."""


def paint(head: Head, centre: np.ndarray, volume_ml: float) -> Head:
    """Put a ball with a soft edge where the patient has white matter."""
    radius = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3)
    grid = np.stack(np.meshgrid(*map(np.arange, head.data.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(apply_affine(head.affine, grid) - centre, axis=-1)
    share = 1 / (1 + np.exp((away - radius) / 0.7))
    return Head(head.data * (1 - share) + 110 * share, head.affine, head.ball)


def rescanned(head: Head, seed: int) -> np.ndarray:
    """Scan again on another day: turned by 5 degrees, shifted, with noise."""
    random = np.random.default_rng(seed)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (3, -2, 3.5), degrees=True).as_matrix()
    middle = apply_affine(head.affine, (np.array(head.data.shape) - 1) / 2)
    turn[:3, 3] = middle - turn[:3, :3] @ middle + (2.3, -1.7, 1.1)
    back = np.linalg.inv(head.affine) @ turn @ head.affine
    copy = ndimage.affine_transform(head.data, back[:3, :3], back[:3, 3], order=3)
    brain = ndimage.affine_transform(
        (head.data > 0).astype(float), back[:3, :3], back[:3, 3], order=1
    )
    return np.where(brain > 0.5, np.maximum(copy + random.normal(0, 1.4, copy.shape), 1), 0)


def session(root: Path, subject: str, number: int) -> Path:
    folder = root / f"sub-{subject}" / f"ses-{number}" / "anat"
    folder.mkdir(parents=True)
    return folder / f"sub-{subject}_ses-{number}_FLAIR.nii.gz"


def make(root: Path, flair: Path) -> Path:
    """Write a participant with two good sessions and a damaged one, and one with nothing else.

    In the second session one painted lesion is half as large again, another is new; whatever else
    is found in the example has not changed.
    """
    image = nib.load(flair)
    data = without_skull(np.asarray(image.dataobj, dtype=np.float32))
    head = Head(data, image.affine, np.zeros(3))
    grew, appeared = (apply_affine(image.affine, voxel) for voxel in (GREW, APPEARED))
    new_dataset(root)
    before = paint(head, grew, 0.6)
    stripped(session(root, "grown", 1), before.zoomed(COARSER))
    after = paint(paint(head, grew, 0.9), appeared, 0.6)
    again = Head(rescanned(after, 1).astype(np.float32), head.affine, head.ball)
    stripped(session(root, "grown", 2), again.zoomed(COARSER))
    flat = Head(np.ones((20, 20, 20), np.float32), np.diag([4.0, 4, 4, 1]), head.ball)
    save(session(root, "grown", 3), flat)
    save(session(root, "alone", 1), flat)
    return root


@pytest.fixture(scope="session")
def followed(made_once, example_flair) -> Run:
    """Only to be looked at."""
    return examined_once(
        made_once, "followed", lambda folder: make(folder / "raw", example_flair), "--longitudinal"
    )


def table(run: Run, subject: str) -> list[dict[str, str]]:
    path = run.out / f"sub-{subject}" / f"sub-{subject}_desc-longitudinal_findings.tsv"
    with path.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.mark.slow
def test_growth_by_half_and_a_new_lesion_are_seen_and_nothing_else_is(followed):
    rows = table(followed, "grown")
    anat = followed.out / "sub-grown" / "ses-2" / "anat"
    image = nib.load(anat / "sub-grown_ses-2_space-orig_seg-anomaly_desc-longitudinal_dseg.nii.gz")
    numbers = np.asarray(image.dataobj)
    status = [row["status"] for row in rows]
    assert len(rows) > 3, "the example has findings of its own"
    assert status.count("new") == 1 and "gone" not in status, rows
    [grew] = [row for row in rows if row["status"] not in ("new", "stable")]
    assert grew["status"] == "enlarging" and float(grew["volume_from_ml"]) > 0.3, rows
    assert float(grew["difference_ml"]) > float(grew["limit_ml"])
    new = int(rows[status.index("new")]["index"])
    assert 0.3 < (numbers == new).sum() * np.prod(image.header.get_zooms()[:3]) / 1000 < 1.2


@pytest.mark.slow
def test_outputs_are_valid_and_those_of_the_sessions_as_without(followed):
    validator = Path(sys.executable).parent / "bids-validator-deno"
    done = subprocess.run(
        [validator, followed.out, "--json"], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["issues"]["issues"] == []
    anat = followed.out / "sub-grown" / "ses-1" / "anat"
    record = json.loads((anat / "sub-grown_ses-1_space-orig_label-anomaly_mask.json").read_text())
    assert not [name for name in record["OutputSHA256"] if "longitudinal" in name]
    for path in followed.out.rglob("*longitudinal*.json"):
        for uri in json.loads(path.read_text())["Sources"]:
            if uri.startswith("bids::"):
                assert (followed.out / uri.removeprefix("bids::")).is_file()


@pytest.mark.slow
def test_a_session_that_failed_is_named_and_the_others_go_on(followed):
    assert followed.status == 1
    left_out = "sub-grown: sub-grown_ses-3 is left out of the comparison: "
    assert sum(line.startswith(left_out) for line in followed.text.splitlines()) == 1
    assert "sub-alone: nothing is compared: it has 0 sessions to look at" in followed.text
    assert (followed.out / "sub-grown_longitudinal.html").exists()
    assert not (followed.out / "sub-alone_longitudinal.html").exists()


@pytest.mark.slow
def test_the_page_leads_to_those_of_the_sessions(followed, view):
    seen = view(followed.out / "sub-grown_longitudinal.html")
    assert seen.is_quiet and not seen.dead_links() and not seen.pictures_without_text()
    assert re.search(r'href="sub-grown.html#sub-grown_ses-1"', seen.page.content())


@pytest.mark.parametrize("count", [1, 2])
def test_mistakes_of_scan_end_in_one_sentence(here, tmp_path, count):
    image = nib.Nifti1Image(np.ones((10, 10, 10), np.uint8), np.diag([4.0, 4, 4, 1]))
    files = [tmp_path / f"{number}.nii.gz" for number in range(count)]
    for path in files:
        image.to_filename(path)
    done = here("scan", *files, tmp_path / "out", "--longitudinal")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert ("two inputs or more" if count == 1 else "are the same file") in done.stderr
    assert not (tmp_path / "out").exists()


def test_two_patients_are_not_compared(here, tmp_path):
    from dicoms import FLAIR, write_series

    image = nib.Nifti1Image(np.ones((10, 10, 10), np.uint16), np.diag([4.0, 4, 4, 1]))
    first = write_series(tmp_path / "a", image, 1, **FLAIR)
    second = write_series(tmp_path / "b", image, 1, patient="2", **FLAIR)
    done = here("scan", first, second, tmp_path / "out", "--longitudinal", "--skull-strip", "none")
    assert done.returncode == 2 and "different patients" in done.stderr


@pytest.mark.slow
def test_a_flat_folder_needs_no_other_file(followed, tmp_path, view):
    (page,) = write_flat(followed.out, "grown", {"1": "spring", "2": "autumn"}, tmp_path)
    names = {"spring_longitudinal.html", "spring_longitudinal.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names | {
        f"{name}_longitudinal.nii.gz" for name in ("spring", "autumn")
    }
    seen = view(page)
    assert seen.is_quiet and not seen.dead_links()
    assert "sub-grown" not in seen.page.inner_text("body")


def finished(name: str) -> FinishedScan:
    return FinishedScan(Path(name), parse_entities(name))


def test_sessions_are_put_in_order_and_named_alike():
    names = ["sub-1_ses-10", "sub-1_ses-2", "sub-1_ses-2_acq-3D", "sub-1_ses-1_acq-3D"]
    chosen = alike([finished(name) for name in [*names, "sub-1_ses-10_acq-3D", "sub-1_run-1"]])
    assert [scan.name for scan in chosen] == [
        "sub-1_ses-1_acq-3D",
        "sub-1_ses-2_acq-3D",
        "sub-1_ses-10_acq-3D",
    ]


def test_sessions_with_other_acquisitions_are_better_than_none():
    chosen = alike([finished("sub-1_ses-1_acq-2D"), finished("sub-1_ses-2_acq-3D")])
    assert [scan.session for scan in chosen] == ["1", "2"]
