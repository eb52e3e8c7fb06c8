"""The viewer in the page of a scan, as a person at a browser has it."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from uadbids.reports.page import ScanReport, data_address, write_subject_page
from uadbids.reports.slices import Volume
from uadbids.reports.viewer import write_viewer

SHAPE = (60, 70, 50)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
AFFINE[:3, 3] = [-30, -40, -20]
# Voxels, from the patient's left to right, back to front, up.
RIGHT, LEFT = (
    (slice(40, 46), slice(30, 36), slice(20, 26)),
    (slice(12, 15), slice(50, 53), slice(30, 33)),
)
ROWS = [
    {"index": 1, "tag": "likely", "volume_ml": 0.216, "location": "right frontal lobe"},
    {"index": 2, "tag": "check", "volume_ml": 0.027, "location": "left frontal lobe"},
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    brain = np.where((grid**2).sum(axis=0) < 0.9, 0.4, 0.0).astype(np.float32)
    labels = np.zeros(SHAPE, np.float32)
    labels[RIGHT], labels[LEFT] = 1, 2
    anomaly = np.where(labels > 0, 5.0, np.where(brain > 0, 0.5, 0.0)).astype(np.float32)
    data = write_viewer(
        *(Volume(image, AFFINE) for image in (brain, anomaly, labels)), folder / "viewer.json",
        rows=ROWS, threshold=2.0, to_average=AFFINE,
    )  # fmt: skip
    scan = ScanReport(
        "sub-01", "sub-01", {}, {"FindingCount": 2}, ROWS, {"detection": "x.svg"},
        viewer=data.read_text(),
    )  # fmt: skip
    (folder / "x.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    return write_subject_page(
        folder / "sub-01.html", subject="01", scans=[scan], failures=[], card={}, run={}
    )


def where(seen):
    return seen.page.locator(".where").inner_text()


def shades(seen):
    """Pixels of the viewer, (rows, columns, 3)."""
    picture = seen.page.locator(".viewer canvas").first.screenshot()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def coloured(seen):
    pixels = shades(seen)
    # The crosshair is blue, findings red or yellow.
    return int((pixels[..., 0] - pixels[..., 2] > 60).sum())


def test_nothing_is_unpacked_before_it_is_asked_for(page, view):
    seen = view(page)
    assert seen.page.locator("canvas").count() == 0
    seen.page.get_by_role("button", name="Scroll through this scan").click()
    seen.page.locator(".where").wait_for()
    assert seen.page.locator(".viewer canvas").first.is_visible() and seen.is_quiet


def test_a_click_on_a_row_leads_to_the_finding(page, view):
    seen = view(page)
    for row, number, voxel in ((0, 1, (43, 33, 23)), (1, 2, (13, 51, 31))):
        seen.page.locator(".findings tbody tr").nth(row).click()
        seen.page.get_by_text(f"Finding {number}").wait_for()
        x, y, z = (int(a) for a in where(seen).split(" mm")[0][4:].replace("−", "-").split(", "))
        expected = np.array(voxel) + AFFINE[:3, 3]
        assert np.abs(np.array([x, y, z]) - expected).max() <= 1
    assert coloured(seen) > 30 and seen.is_quiet


def test_the_patients_right_is_on_the_left(page, view):
    seen = view(page)
    seen.page.get_by_role("button", name="Show finding 1 in the viewer").click()
    seen.page.get_by_text("Finding 1").wait_for()
    pixels = shades(seen)
    # Sagittal, coronal and axial slice stand side by side: 70, 60 and 60 voxels of the brain wide.
    coronal = pixels[:, int(pixels.shape[1] * 0.37) : int(pixels.shape[1] * 0.68)]
    columns = np.nonzero((coronal[..., 0] - coronal[..., 2] > 60).any(axis=0))[0]
    assert columns.size and columns.mean() < 0.45 * coronal.shape[1]


def test_map_and_findings_are_switched(page, view):
    seen = view(page)
    seen.page.get_by_role("button", name="Show finding 1 in the viewer").click()
    seen.page.get_by_text("Finding 1").wait_for()
    outlines = coloured(seen)
    seen.page.get_by_role("checkbox", name="Anomaly map").check()
    assert coloured(seen) > outlines
    seen.page.get_by_role("checkbox", name="Anomaly map").uncheck()
    seen.page.get_by_role("checkbox", name="Findings").uncheck()
    assert coloured(seen) == 0
    plain = shades(seen)
    seen.page.get_by_role("checkbox", name="Below the threshold").check()
    assert (shades(seen) != plain).any(axis=2).sum() > 1000
    assert seen.is_quiet


def test_slices_are_scrolled_by_wheel_and_keyboard(page, view):
    seen = view(page)
    seen.page.get_by_role("button", name="Scroll through this scan").click()
    seen.page.locator(".where").wait_for()
    before = where(seen)
    seen.page.locator(".viewer canvas").first.hover()
    seen.page.mouse.wheel(0, -100)
    assert where(seen) != before
    seen.page.get_by_role("slider", name="Axial slice").focus()
    seen.page.keyboard.press("ArrowRight")
    seen.page.keyboard.press("ArrowRight")
    z = [int(text.split(", ")[2].split()[0].replace("−", "-")) for text in (before, where(seen))]
    assert z[1] == z[0] + 2 and seen.is_quiet


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_open_to_everybody(page, view, width):
    seen = view(page, width=width)
    seen.page.get_by_role("button", name="Show finding 2 in the viewer").click()
    seen.page.get_by_text("Finding 2").wait_for()
    assert seen.barriers() == []
    assert seen.overhang() <= 0 and seen.pictures_without_text() == []


def test_a_page_without_files_beside_it_holds_each_figure_once(page, view, tmp_path):
    figure = data_address(page.parent / "x.svg")
    scan = ScanReport("scan", "scan", {}, {"FindingCount": 0}, [], {"detection": figure})
    single = write_subject_page(
        tmp_path / "scan.html", subject="1", scans=[scan], failures=[], card={}, run={},
        single="scan",
    )  # fmt: skip
    assert single.read_text().count(figure) == 1
    seen = view(single)
    states = seen.page.locator("figure img").evaluate_all("e => e.map(i => i.src.slice(-6))")
    assert states[1:] == [f"{figure}#map"[-6:], f"{figure}#under"[-6:]] and seen.is_quiet
    assert seen.page.locator("img").evaluate_all("e => e.every(i => i.naturalWidth > 0)")


def test_print_has_the_still_figures_alone(page, view):
    seen = view(page, media="print")
    assert not seen.page.locator(".viewer").is_visible()
    assert seen.page.locator("figure img").first.is_visible()


def test_the_same_scan_gives_the_same_bytes(page):
    data = json.loads((page.parent / "viewer.json").read_text())
    assert set(data["places"]) == {"1", "2"} and len(data["slices"]) == 3
