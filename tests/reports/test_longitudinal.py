"""The page of a comparison: same slices, statuses in words, no other file's names left raw."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uadbids.reports.longitudinal import ComparisonReport, draw_sessions, write_comparison_page

NAMES = ("sub-01_ses-1", "sub-01_ses-2")
STATUSES = ("new", "enlarging", "stable", "shrinking", "gone", "n/a")


def rows() -> list[dict[str, str]]:
    return [
        {
            "index": str(number), "status": status, "from": NAMES[0], "to": NAMES[1],
            "volume_from_ml": "0.125", "volume_to_ml": "0.25", "difference_ml": "0.125",
            "limit_ml": "0.02", "findings_from": "1", "findings_to": "2", "tag": "likely",
            "reason": "n/a", "location": "left <frontal> lobe",
        }
        for number, status in enumerate(STATUSES, start=1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Page of two sessions, which its pictures lie beside."""
    folder = tmp_path_factory.mktemp("page")
    random = np.random.default_rng(0)
    volumes, families = [], []
    for number, name in enumerate(NAMES):
        data = np.zeros((40, 50, 40), dtype=np.float32)
        data[5:35, 5:45, 5:35] = 0.4 + 0.02 * random.normal(size=(30, 40, 30))
        labels = np.zeros(data.shape, dtype=np.int32)
        for family in range(1 + number, 7):
            labels[10:15, 5 * family + 5 : 5 * family + 9, 15:25] = family
        for files, kind, array in ((volumes, "volume", data), (families, "families", labels)):
            files.append(folder / f"{name}_{kind}.nii.gz")
            nib.Nifti1Image(array, np.eye(4)).to_filename(files[-1])
    figures = draw_sessions(NAMES, volumes, families, rows(), folder)
    report = ComparisonReport(
        title="sub-01",
        sessions=NAMES,
        figures=[figure.name for figure in figures],
        rows=rows(),
        record={
            "NotComparable": [{"from": NAMES[0], "to": NAMES[1], "reason": "slices differ"}],
            "SessionQuality": {
                name: {"ThicknessMm": 3.0, "GreyWhiteRatio": 1.1, "NoiseLevel": 0.02}
                for name in NAMES
            },
            "Threshold": 2.11,
            "ThresholdSource": "test",
            "Model": "dense3d",
        },
    )
    return write_comparison_page(folder / "sub-01_longitudinal.html", report, {"uadbids": "0"})


def test_statuses_are_words_with_symbols_and_names_are_escaped(page):
    text = page.read_text()
    for status in STATUSES:
        assert re.search(rf'class="status [a-z]+">\S {re.escape(status)}<', text), status
    assert "left &lt;frontal&gt; lobe" in text and "<frontal>" not in text
    assert "Not comparable" in text and "Slices differ" in text
    assert "medical device" in text


def test_all_sessions_show_the_same_slices(page):
    labels = [
        re.findall(r">(z [^<]*mm)<", (page.parent / f"{name}.svg").read_text()) for name in NAMES
    ]
    assert labels[0] == labels[1] and len(set(labels[0])) > 3


def test_what_a_session_lacks_is_dotted_at_its_place(page):
    first, second = ((page.parent / f"{name}.svg").read_text() for name in NAMES)
    # The first family is not in the second session.
    assert 'stroke-dasharray="0.16 3.04"' not in first
    assert 'stroke-dasharray="0.16 3.04"' in second


def test_page_flickers_and_is_quiet(page, view):
    seen = view(page)
    browser = seen.page
    assert seen.is_quiet and not seen.dead_links() and not seen.pictures_without_text()
    browser.check("input[value=flicker]")
    browser.wait_for_function("document.querySelectorAll('#sessions .front').length === 1")
    shown = "[...document.querySelectorAll('#sessions figure')].findIndex(f => f.offsetHeight)"
    first = browser.evaluate(shown)
    browser.wait_for_function(f"{shown} !== {first}")
    browser.check("input[value='1']")
    assert browser.evaluate(shown) == 1
    browser.uncheck("#views input[type=checkbox]")
    assert browser.evaluate("document.querySelector('#sessions img').src").endswith("#under")
    browser.check("input[value=side]")
    assert browser.evaluate("document.querySelectorAll('#sessions .stacked').length") == 0
    assert seen.is_quiet


def test_page_fits_a_telephone(page, view):
    assert view(page, width=390).overhang() <= 0
