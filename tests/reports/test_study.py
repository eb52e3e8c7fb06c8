"""The page of a study as a place of work: contact sheet, filters, review, ratings."""

import pytest

from study_page import first_column, made_up, strip, write
from uadbids.bids.covariates import Covariate
from uadbids.bids.ratings import Rating, read_ratings

AGES = {f"sub-{k:04d}": float(20 + k) for k in range(60)}
SITES = {f"sub-{k:04d}": "north" if k % 3 else "south" for k in range(59)}
THUMBNAIL = '<svg xmlns="http://www.w3.org/2000/svg" width="5" height="6"/>'


def study(folder, n=120, **other):
    scans = made_up(n)
    for scan in scans:
        picture = folder / f"sub-{scan.subject}/figures/{scan.name}_desc-thumbnail_FLAIR.svg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(THUMBNAIL)
    covariates = [Covariate("age", AGES), Covariate("site", SITES)]
    thumbnails = frozenset(scan.name for scan in scans)
    return write(folder, scans, covariates=covariates, thumbnails=thumbnails, **other)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study"))


def cards(seen):
    return seen.page.locator("#sheet li strong").all_inner_texts()


def current(seen):
    return seen.page.locator("#sheet li.current strong").all_inner_texts()


def wait_for_report(seen, name):
    """A page that is left before it has loaded counts as one that could not be read."""
    seen.page.locator(f"iframe[src$='#{name}']").wait_for()
    seen.page.frame_locator("#frame iframe").locator(f"[id='{name}']").wait_for()


def test_contact_sheet_has_a_picture_a_scan_and_follows_the_choices(page, view):
    seen = view(page)
    assert len(cards(seen)) == 50 and not seen.page.locator("#table").is_visible()
    pictures = seen.page.locator("#sheet img")
    assert pictures.count() == 50
    pictures.first.scroll_into_view_if_needed()
    seen.page.wait_for_function("document.querySelector('#sheet img').naturalWidth > 0")
    seen.page.locator("#sort-by").select_option(label="Findings")
    assert cards(seen)[0] == "sub-0059_ses-2"
    assert "Findings: 119" in seen.page.locator("#sheet li").first.inner_text()
    seen.page.get_by_label("table", exact=True).check()
    assert seen.page.locator("#table").is_visible() and first_column(seen)[0] == "sub-0059_ses-2"
    assert seen.is_quiet


def test_filters_by_numbers_and_by_words(page, view):
    seen = view(page)
    shown = seen.page.locator("#shown-count")
    seen.page.locator("#filter-column").select_option(label="age")
    seen.page.locator("#filter-from").fill("70")
    seen.page.locator("#filter-add").click()
    assert shown.inner_text() == "20 of 120 scans"
    seen.page.locator("#filter-column").select_option(label="site")
    seen.page.locator("#filter-value").select_option("south")
    seen.page.locator("#filter-add").click()
    assert shown.inner_text() == "6 of 120 scans" and cards(seen)[0] == "sub-0051_ses-1"
    seen.page.get_by_role("button", name="Remove the filter age").click()
    assert shown.inner_text() == "40 of 120 scans" and seen.is_quiet


def test_a_covariate_colours_the_points_and_sorts(page, view):
    seen = view(page)
    seen.page.locator("#colour-by").select_option(label="site")
    legend = seen.page.locator("#legend > span").all_inner_texts()
    assert [text.strip() for text in legend] == ["north", "south", "not given"]
    dots = strip(seen, "Findings").locator(".dots")
    assert len({dot.get_attribute("stroke") for dot in dots.all()}) == 3
    assert sum(dot.get_attribute("d").count("M") for dot in dots.all()) == 108
    seen.page.locator("#colour-by").select_option(label="age")
    assert dots.count() == 5
    seen.page.locator("#sort-by").select_option(label="age")
    assert cards(seen)[0] == "sub-0059_ses-1"
    assert "square-root scale" in strip(seen, "Volume of findings (mL)").inner_html()


def test_scans_are_reviewed_and_rated_from_the_keyboard(page, view):
    seen = view(page)
    keys = seen.page.keyboard
    for key in "jjk":
        keys.press(key)
    assert current(seen) == ["sub-0000_ses-1"]
    keys.press("a")
    keys.press("Enter")
    frame = seen.page.locator("#frame iframe")
    assert frame.get_attribute("src") == "sub-0000.html#sub-0000_ses-1"
    assert seen.page.get_by_role("button", name="Accept").get_attribute("aria-pressed") == "true"
    wait_for_report(seen, "sub-0000_ses-1")
    keys.press("j")
    keys.press("r")
    wait_for_report(seen, "sub-0000_ses-2")
    assert seen.page.locator("#review-name").inner_text() == "sub-0000_ses-2"
    keys.press("n")
    keys.type("a dark scan, j")
    keys.press("Escape")
    keys.press("j")
    keys.press("d")
    wait_for_report(seen, "sub-0001_ses-1")
    keys.press("Escape")
    assert not seen.page.locator("#review").is_visible()
    assert seen.page.locator("#rated-count").inner_text() == "3 of 120 rated"
    badges = seen.page.locator("#sheet .rating").all_inner_texts()
    assert badges[:4] == ["✓ accept", "✗ reject", "? doubt", ""]
    assert seen.is_quiet, (seen.errors, seen.requests, seen.failed)


def test_ratings_are_exported_and_stay_in_the_browser(page, view, tmp_path):
    seen = view(page)
    for key in ("j", "r", "j", "d"):
        seen.page.keyboard.press(key)
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "ratings.tsv")
    expected = {"sub-0000_ses-1": Rating("reject"), "sub-0000_ses-2": Rating("doubt")}
    assert read_ratings(tmp_path / "ratings.tsv") == expected
    seen.page.reload()
    assert seen.page.locator("#rated-count").inner_text() == "2 of 120 rated"
    seen.page.keyboard.press("j")
    seen.page.keyboard.press("r")
    assert seen.page.locator("#rated-count").inner_text() == "1 of 120 rated", "taken back"


def test_a_click_on_a_name_opens_the_report_with_a_way_back(page, view):
    seen = view(page)
    seen.page.get_by_role("link", name="sub-0003_ses-1").first.click()
    assert seen.page.url.endswith("#review=sub-0003_ses-1")
    inside = seen.page.frame_locator("#frame iframe")
    assert inside.locator("p").first.inner_text() == "sub-0003_ses-1"
    seen.page.get_by_role("button", name="Previous (K)").click()
    assert seen.page.locator("#review-name").inner_text() == "sub-0002_ses-2"
    # A page that is left while it loads counts as one that could not be read.
    inside.get_by_text("sub-0002_ses-2").wait_for()
    seen.page.go_back()
    assert not seen.page.locator("#review").is_visible()
    assert current(seen) == ["sub-0002_ses-2"] and seen.is_quiet


def test_rejected_scans_are_left_out_and_named(tmp_path, view):
    ratings = {"sub-0009_ses-2": Rating("reject", "moved"), "sub-0000_ses-1": Rating("doubt")}
    seen = view(study(tmp_path, 20, ratings=ratings))
    assert "1 scan was rejected by a person" in seen.page.locator("main > .note").first.inner_text()
    tiles = seen.page.locator(".tiles").inner_text().split("\n")
    assert tiles[tiles.index("Scans") + 1] == "19"
    parts = strip(seen, "Findings").locator(".dots, .marks").all()
    assert sum(part.get_attribute("d").count("M") for part in parts) == 19
    assert len(cards(seen)) == 20
    assert seen.page.locator("#rated-count").inner_text() == "2 of 20 rated"


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_open_to_everybody(page, view, width):
    seen = view(page, width=width)
    assert seen.barriers() == [] and seen.overhang() <= 0
    assert seen.pictures_without_text() == [] and seen.dead_links() == []
    seen.page.get_by_role("button", name="Review these scans").click()
    assert seen.barriers() == [] and seen.overhang() <= 0
