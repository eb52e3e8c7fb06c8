"""The browser of the tests notices what it is there to notice."""

BAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body>
<p id="here" style="width:900px">wide</p>
<a href="#here">here</a><a href="#gone">gone</a><a href="other.html">other</a>
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==">
<svg role="img"><title>told</title></svg><svg aria-hidden="true"></svg><svg></svg>
<svg aria-labelledby="here"></svg><svg aria-labelledby="nowhere"></svg>
<img src="no.png" alt="none"><img src="http://example.org/far.png" alt="far">
<script>console.error('said'); thrown.by();</script></body></html>"""
GOOD = """<!doctype html><html lang="en"><head><title>x</title></head><body>
<p id="here"><a href="#here">here</a></p></body></html>"""


def test_sees_what_is_wrong_with_a_page(view, tmp_path):
    page = tmp_path / "bad page.html"
    page.write_text(BAD)
    seen = view(page, width=390)
    seen.page.wait_for_load_state()
    assert any("said" in error for error in seen.errors)
    assert any("thrown" in error for error in seen.errors)
    assert seen.requests == ["http://example.org/far.png"]
    assert any(url.endswith("no.png") for url in seen.failed)
    assert not seen.is_quiet
    assert len(seen.pictures_without_text()) == 3
    dead = [address.rpartition("/")[2] for address in seen.dead_links()]
    assert dead == ["bad%20page.html#gone", "other.html", "no.png", "far.png"]
    assert seen.overhang() > 500


def test_finds_no_fault_with_a_good_page(view, tmp_path):
    page = tmp_path / "good.html"
    page.write_text(GOOD)
    seen = view(page)
    assert seen.is_quiet and not seen.dead_links() and not seen.pictures_without_text()
    assert seen.overhang() <= 0
