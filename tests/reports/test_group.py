"""The page of a study, as a person at a browser has it."""

import json
import re

import pytest

from study_page import first_column, made_up, strip, write
from uadbids.bids.facts import RESULTS
from uadbids.reports.group_table import COLUMNS
from uadbids.reports.page import Failure

EVIL = "</script><script>throw new Error('in')</script>\"'&<img src=x onerror=alert(1)>"
# A window that need not scroll, which would move the points from under the pointer.
TALL = 4000


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write(tmp_path_factory.mktemp("study"), made_up(120))


def test_same_study_gives_the_same_bytes(tmp_path):
    (tmp_path / "b").mkdir()
    first, second = write(tmp_path, made_up(20)), write(tmp_path / "b", made_up(20))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_text_of_the_page_needs_no_script(page):
    html = page.read_text()
    for words in ("Not a medical device", "a cohort", "0.31", "No children.", "group_FLAIR.tsv"):
        assert words in html
    assert not re.search(r"(src|href)=\"?(https?:)?//", html)


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_quiet_linked_and_fits(page, view, width):
    seen = view(page, width=width)
    assert seen.is_quiet, (seen.errors, seen.requests, seen.failed)
    assert seen.dead_links() == []
    assert seen.pictures_without_text() == []
    assert seen.overhang() <= 0


def test_pointing_at_a_point_names_the_scan_and_a_click_opens_its_report(page, view):
    seen = view(page, height=TALL)
    box = strip(seen, "Findings").bounding_box()
    # The last scan has the most lesions: its point stands alone at the right end.
    seen.page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 28)
    tip = seen.page.locator("#tip")
    assert "sub-0059_ses-2" in tip.inner_text() and "Findings: 119" in tip.inner_text()
    rings = seen.page.locator(".ring[visibility=visible]")
    assert rings.count() == seen.page.locator(".strip svg").count()
    with seen.page.context.expect_page() as opened:
        seen.page.mouse.down()
        seen.page.mouse.up()
    opened.value.wait_for_load_state()
    assert opened.value.url == (page.parent / "sub-0059.html").as_uri() + "#sub-0059_ses-2"
    seen.page.mouse.move(5, 5)
    assert tip.is_hidden()


def test_keyboard_reaches_every_scan_of_a_plot(page, view):
    seen = view(page, height=TALL)
    strip(seen, "Findings").focus()
    seen.page.keyboard.press("End")
    seen.page.keyboard.press("ArrowLeft")
    tip = seen.page.locator("#tip")
    assert "sub-0059_ses-1" in tip.inner_text()
    with seen.page.context.expect_page() as opened:
        seen.page.keyboard.press("Enter")
    opened.value.wait_for_load_state()
    assert opened.value.url.endswith("/sub-0059.html#sub-0059_ses-1")
    seen.page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_table_sorts_by_any_column_with_missing_values_last(tmp_path, view):
    scans = made_up(3, FindingCount=None)
    seen = view(write(tmp_path, scans))
    names = ["sub-0000_ses-1", "sub-0000_ses-2", "sub-0001_ses-1"]
    assert first_column(seen) == names
    button = seen.page.get_by_role("button", name="Findings", exact=True)
    button.click()
    assert first_column(seen) == [names[2], names[0], names[1]]
    seen.page.get_by_role("button", name="Findings ▼").click()
    assert first_column(seen) == [names[0], names[2], names[1]]
    heads = seen.page.locator("#table th[aria-sort]")
    assert heads.count() == 1 and heads.get_attribute("aria-sort") == "ascending"


def test_pages_of_the_table_and_choices(page, view):
    seen = view(page)
    pager = seen.page.locator(".pager")
    assert len(first_column(seen)) == 50 and "1 to 50 of 120" in pager.inner_text()
    seen.page.get_by_role("button", name="Next").click()
    seen.page.get_by_role("button", name="Next").click()
    assert len(first_column(seen)) == 20 and "101 to 120 of 120" in pager.inner_text()
    assert seen.page.get_by_role("button", name="Next").is_disabled()
    seen.page.locator("#flagged").select_option("=thick-slices")
    assert len(first_column(seen)) == 12
    assert seen.page.locator("#shown-count").inner_text() == "12 of 120 scans"
    seen.page.locator("#search").fill("SUB-0005")
    assert first_column(seen) == ["sub-0005_ses-1"]
    seen.page.locator("#search").fill("nobody")
    assert first_column(seen) == [] and seen.is_quiet


def test_flagged_scans_have_another_shape(page, view):
    seen = view(page)
    marks, dots = (strip(seen, "Findings").locator(f".{kind}") for kind in ("marks", "dots"))
    assert marks.get_attribute("d").count("M") == 12
    assert dots.get_attribute("d").count("M") == 108


def test_flags_are_counted_and_explained(page, view):
    table = view(page).page.get_by_role("row", name="thick-slices")
    assert table.first.inner_text().split("\t")[1:] == ["12", "Slices thicker than 3 mm"]


def test_every_numeric_fact_of_a_scan_has_a_column():
    known = {column.source for column in COLUMNS}
    # Lists, which columns are made of; and what is the same for all scans of a model.
    of_the_model = {"ExpectedRangeMl", "ExpectedScans"}
    assert set(RESULTS) - known == {"SourceVoxelSizeMm", "FieldOfViewCut"} | of_the_model


def test_strings_of_the_dataset_stay_text(tmp_path, view):
    scans = made_up(4, Flags=[EVIL], Model=EVIL, ModelSHA256=EVIL, BrainMaskMethod=EVIL)
    page = write(
        tmp_path,
        scans,
        unfinished=[Failure(EVIL, EVIL, "javascript:alert(1)")],
        unexpected=[EVIL],
        notes=[EVIL],
        card={"name": EVIL, "limits": [EVIL]},
        run={EVIL: EVIL},
    )
    seen = view(page)
    assert seen.is_quiet, (seen.errors, seen.requests, seen.failed)
    assert seen.page.locator("img").count() == 0
    assert seen.page.evaluate("document.scripts.length") == 2
    hrefs = seen.page.evaluate("[...document.querySelectorAll('a')].map(a => a.href)")
    assert hrefs and all(href.startswith("file:") for href in hrefs)
    assert EVIL in seen.page.locator("#table").inner_text()


def test_scans_made_differently_are_told_loudly_and_can_be_chosen(tmp_path, view):
    seen = view(write(tmp_path, made_up(6, Threshold=2.0)))
    assert "not all made alike" in seen.page.locator("main > .bad").inner_text()
    seen.page.locator("#settings-choice").select_option("2")
    assert first_column(seen) == ["sub-0000_ses-2"]
    assert "model of the last run alone" not in seen.page.content()


def test_card_is_not_told_to_be_of_scans_of_another_model(tmp_path):
    html = write(tmp_path, made_up(6, ModelSHA256="cd")).read_text()
    assert "model of the last run alone.</strong> 1 scan was made by another" in html


def test_missing_scans_and_pages_are_told(tmp_path, view):
    failed = [Failure(f"sub-{n}", "failed, no brain found", None) for n in range(3)]
    page = write(
        tmp_path,
        made_up(4),
        unfinished=failed,
        unexpected=["sub-x"],
        unlinked=frozenset({"sub-0001"}),
    )
    seen = view(page)
    told = seen.page.locator("main > .note").all_inner_texts()
    assert "3 scans of the dataset have no finished output" in told[0]
    assert "1 finished scan is not in the dataset" in told[1]
    links = seen.page.locator("#table tbody a").all_inner_texts()
    assert links == ["sub-0000_ses-1", "sub-0000_ses-2"]
    assert len(first_column(seen)) == 4


def test_one_scan_makes_a_page(tmp_path, view):
    seen = view(write(tmp_path, made_up(1), card={}))
    assert seen.is_quiet and first_column(seen) == ["sub-0000_ses-1"]
    assert "missing or damaged" in seen.page.locator("main").inner_text()


def test_thousands_of_scans(tmp_path, view):
    page = write(tmp_path, made_up(5000))
    assert page.stat().st_size < 1_000_000
    seen = view(page)
    timing = seen.page.evaluate("performance.timing.loadEventEnd - performance.timing.responseEnd")
    # Half a second on an idle machine; this one may have others at work.
    assert timing < 5000 and seen.is_quiet
    assert seen.page.evaluate("document.querySelectorAll('*').length") < 3000
    assert strip(seen, "Findings").locator(".dots").get_attribute("d").count("M") == 4500


def test_data_of_the_script_is_json_without_markup(page):
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text()
    )
    assert len(json.loads(text)["scans"]) == 120 and "<" not in text
