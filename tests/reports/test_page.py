"""The page of one subject."""

import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.reports.page import Failure, ScanReport, write_subject_page

EVIL = "<script>alert('x')</script>\"'&"

FACTS = {
    "UadbidsVersion": "1.2.3",
    "Model": "dense3d",
    "ModelSHA256": "ab" * 32,
    "Threshold": 0.123456,
    "ThresholdSource": "calibrated at 0.1 %",
    "BrainMaskMethod": "deepbet",
    "Device": "cpu",
    "RandomSeed": 42,
    "ResidualKind": "positive",
    "StageSeconds": {"registration": 12.34, "brain_mask": 5.0},
    "Warnings": ["trained with another mask", "said twice"],
}
SUMMARY = {
    "FindingVolumeMl": 3.4821,
    "FindingCount": 2,
    "BrainVolumeMl": 1432.2,
    "ExaminedBrainFraction": 0.713,
    "RegistrationOverlap": None,
    "SourceVoxelSizeMm": [0.5, 0.5, 4.0],
}
SCAN = ScanReport(
    name="sub-01_ses-1",
    title="sub-01, ses-1",
    facts=FACTS,
    summary=SUMMARY,
    components=[
        {
            "index": 1,
            "volume_ml": 2.5,
            "score_max": 0.75,
            "score_mean": 0.5,
            "mni_x_mm": -28.0,
            "mni_y_mm": 2.0,
            "mni_z_mm": 11.0,
            "x_mm": -31.2,
            "y_mm": -0.2,
            "z_mm": 7.0,
            "location": "left insula",
            "tag": "likely-artefact",
            "reason": "vessel",
        },
        {"index": 2, "volume_ml": 0.0583, "score_max": 0.5, "x_mm": 1.0, "y_mm": 2.0, "z_mm": 3.0},
    ],
    figures={"brain": "sub-01/figures/b.svg", "detection": "sub-01/figures/d.svg", "odd": "o.svg"},
    warnings=["said twice", "thick slices"],
)
CARD: dict[str, Any] = {
    "name": "dense3d",
    "training": {
        "n_scans": 34,
        "sources": [{"name": "open-ms", "ages": "20-60"}],
        "seeds": [1, 2.5],
    },
    "results": {"isbi-ms": {"dice": 0.31, "n": 2}, "brats": {"dice": 0.71}},
    "limits": ["No children."],
    "license": "Apache-2.0",
}


class Reader(HTMLParser):
    """Collects tags, attributes, text; notes tags that do not nest."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def attributes(self, tag: str, name: str) -> list[str | None]:
        return [attrs[name] for found, attrs in self.tags if found == tag and name in attrs]


def write(folder: Path, **changes: Any) -> Reader:
    content = {
        "subject": "01",
        "scans": [SCAN],
        "failures": [],
        "card": CARD,
        "run": {"version": "1"},
    }
    out = write_subject_page(folder / "sub-01.html", **(content | changes))
    assert [path.name for path in folder.iterdir()] == ["sub-01.html"]
    reader = Reader(out.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_results_provenance_and_model_are_told(tmp_path: Path) -> None:
    words = write(tmp_path).words
    for piece in (
        "Not a medical device. For research use only.",
        "Volume of findings (mL) 3.5",
        "Brain examined 71 %",
        "Overlap with template (Dice) not available",
        "Voxel size (mm) 0.5, 0.5, 4",
        "1× likely artefact : vessel left insula 2.5 -28, 2, 11 -31, 0, 7 0.75",
        "2 not available not available 0.058 " + ", ".join(["not available"] * 3) + " 1, 2, 3 0.5",
        "Threshold 0.123",
        "Threshold comes from calibrated at 0.1 %",
        "Model SHA-256 " + "ab" * 32,
        "Brain mask by deepbet",
        "Registration 12.3",
        "Name Ages open-ms 20-60",
        "Seeds 1, 2.5",
        "isbi-ms 0.31 2",
        "No children.",
        "Apache-2.0",
    ):
        assert piece in words


def test_each_warning_appears_once(tmp_path: Path) -> None:
    words = write(tmp_path).words
    assert words.count("said twice") == 1
    assert words.count("Warning.") == 3


def test_figures_are_relative_links_with_alternative_text_in_reading_order(tmp_path: Path) -> None:
    page = write(tmp_path)
    sources = page.attributes("img", "src")
    assert sources == [
        "sub-01/figures/d.svg",
        "sub-01/figures/d.svg#map",
        "sub-01/figures/d.svg#under",
        "sub-01/figures/b.svg",
        "sub-01/figures/b.svg#under",
        "o.svg",
    ]
    texts = page.attributes("img", "alt")
    assert len(set(texts)) == len(sources) and all(texts)
    assert texts[:3] == [
        "What was found, sub-01_ses-1: findings",
        "What was found, sub-01_ses-1: with the anomaly map",
        "What was found, sub-01_ses-1: scan alone",
    ]


def test_figures_that_flicker_are_switched_each_on_its_own(tmp_path: Path) -> None:
    page = write(tmp_path, scans=[SCAN, replace(SCAN, name="sub-01_ses-2")])
    names = page.attributes("input", "name")
    assert len(names) == 2 * (4 + 3) and len(set(names)) == 2 * 2
    assert len(page.attributes("input", "checked")) == 2 * 2


def test_methods_stand_on_the_page_as_they_were_made(tmp_path: Path) -> None:
    page = write(tmp_path, methods="<p>Brains were masked.</p>")
    assert "Methods, ready to paste Brains were masked." in page.words
    assert "logs/CITATION.bib" in page.attributes("a", "href")
    assert "ready to paste" not in write(tmp_path).words


def test_long_rows_of_numbers_are_told_in_short(tmp_path: Path) -> None:
    errors = {"held_out": [0.01 * n for n in range(1, 8)]}
    page = write(tmp_path, card={"training": {"n_scans": 7, "reconstruction_errors": errors}})
    assert "Held out median 0.04, 0.01 to 0.07 (7 values)" in page.words
    assert "learnt from 7 scans" in page.words


def test_page_needs_no_network_and_without_a_viewer_no_script(tmp_path: Path) -> None:
    page = write(tmp_path)
    names = [tag for tag, _ in page.tags]
    assert "script" not in names
    assert "link" not in names
    links = page.attributes("a", "href") + page.attributes("img", "src")
    assert links
    assert not [link for link in links if link and (":" in link or link.startswith("/"))]


ROWS = [
    {"index": 1, "tag": "likely-artefact", "reason": "choroid plexus", "volume_ml": 0.4,
     "location": "ventricle"},
    {"index": 2, "tag": "check", "reason": "n/a", "volume_ml": 0.05, "location": "left insula"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "flags", "sentences"),
    [
        ([], [], "Nothing was found. No flag speaks against the scan as a whole."),
        (ROWS[1:], [], "Largest finding: number 2, left insula, 0.050 mL. check small or faint"),
        (ROWS, [], "ventricle, 0.40 mL. likely artefact probably no lesion (choroid plexus). The "
         "largest that is none: number 2, left insula, 0.050 mL. check small"),
        (ROWS[:1], ["contrast"], "(choroid plexus). All findings are likely artefacts. But the "
         "scan as a whole has warnings, see below: contrast."),
    ],
)  # fmt: skip
def test_the_first_sentence_says_where_the_largest_finding_is_and_whether_to_trust_it(
    rows: list[dict[str, Any]], flags: list[str], sentences: str, tmp_path: Path
) -> None:
    scan = replace(SCAN, components=rows, facts={**FACTS, "Flags": flags})
    page = write(tmp_path, scans=[scan])
    assert sentences in page.words
    assert page.words.index("Largest" if rows else "Nothing") < page.words.index("Volume of")


def test_the_viewer_stands_in_the_page_that_it_belongs_to(tmp_path: Path) -> None:
    scans = [replace(SCAN, viewer='{"a": "</script>"}'), replace(SCAN, name="sub-01_ses-2")]
    page = write(tmp_path, scans=scans)
    kinds = [attrs.get("type") for tag, attrs in page.tags if tag == "script"]
    assert kinds == ["application/json", None, None]
    assert page.attributes("tr", "data-viewer") == ["v1", "v1"]
    html = (tmp_path / "sub-01.html").read_text()
    assert "brainsprite v" in html and '{"a": "\\u003c/script>"}' in html


def test_strings_of_the_dataset_cannot_inject_markup(tmp_path: Path) -> None:
    scan = ScanReport(
        name=EVIL,
        title=EVIL,
        facts={"Device": EVIL, EVIL: EVIL, "StageSeconds": {EVIL: 1.0}, "Warnings": [EVIL]},
        summary={EVIL: EVIL},
        components=[{"index": EVIL, "score_max": EVIL}],
        figures={EVIL: "javascript:alert(1)", "detection": f"a/{EVIL}.svg"},
        warnings=[EVIL],
    )
    page = write(
        tmp_path,
        subject=EVIL,
        scans=[scan],
        failures=[Failure(EVIL, EVIL, "javascript:alert(2)")],
        card={"name": EVIL, "training": {EVIL: [EVIL]}, "results": {EVIL: {EVIL: EVIL}}},
        run={EVIL: EVIL},
    )
    assert "script" not in [tag for tag, _ in page.tags]
    assert page.words.count("<script>") > 10
    links = page.attributes("a", "href") + page.attributes("img", "src")
    assert not [link for link in links if link and ":" in link]
    known = {
        "class", "id", "href", "src", "alt", "role", "loading", "lang", "open", "name", "type",
        "checked", "aria-label", "tabindex",
    }  # fmt: skip
    in_body = [attrs for tag, attrs in page.tags if tag not in {"meta"}]
    assert {name for attrs in in_body for name in attrs} <= known


@given(st.text(max_size=30))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = write(Path(folder), scans=[replace(SCAN, warnings=["a" + text + "b"])])
    assert " ".join(("a" + text + "b").split()) in page.words


def test_subject_with_failures_only(tmp_path: Path) -> None:
    failures = [
        Failure("sub-01_run-1", "It has no brain.", "sub-01/log/1/crash.txt"),
        Failure("sub-01_run-2", "Other."),
    ]
    page = write(tmp_path, scans=[], failures=failures)
    assert "sub-01_run-1 was not processed. It has no brain." in page.words
    assert "0 scans processed, 2 not processed" in page.words
    assert page.attributes("a", "href") == ["sub-01/log/1/crash.txt", "#model"]


def test_no_lesion_is_said_and_long_lists_are_cut(tmp_path: Path) -> None:
    row = {"index": 1, "volume_ml": 0.1, "score_max": 1.0, "x_mm": 0.0, "y_mm": 0.0, "z_mm": 0.0}
    bare = replace(SCAN, components=[], figures={})
    many = replace(SCAN, components=[row] * 45)
    assert "None above the threshold" in write(tmp_path, scans=[bare]).words
    page = write(tmp_path, scans=[many])
    assert "The 30 largest of 45" in page.words
    assert (
        page.words.count("not available 0.10 not available, not available, not available 0, 0, 0 1")
        == 30
    )


def test_the_volume_stands_beside_that_of_healthy_scans(tmp_path: Path) -> None:
    expected = {"ExpectedFindingMl": 0.71, "ExpectedRangeMl": [0.0, 5.2], "ExpectedScans": 7}
    scan = replace(SCAN, summary={**SUMMARY, **expected})
    words = write(tmp_path, scans=[scan]).words
    assert "In 7 scans held out" in words and "median of 0.71 mL (0 to 5.2 mL)" in words
    assert "lies within that range, above the median: look" in words
    few = replace(scan, summary={**scan.summary, "FindingVolumeMl": 0.7})
    assert "that range, no evidence of disease by itself" in write(tmp_path, scans=[few]).words
    more = replace(scan, summary={**scan.summary, "FindingVolumeMl": 12.0})
    assert "lies within that range" not in write(tmp_path, scans=[more]).words
    least = {**few.summary, "ExpectedRangeMl": [0.9, 5.2]}
    below = replace(few, summary=least, facts={**FACTS, "Flags": ["contrast"]})
    words = write(tmp_path, scans=[below]).words
    assert "lies below that range." in words and "no evidence" not in words


@pytest.mark.parametrize("card", [{}, {"training": None, "results": {}, "limits": []}])
def test_a_bare_card_and_scan_are_enough(tmp_path: Path, card: dict[str, Any]) -> None:
    scan = ScanReport("sub-01", "sub-01", {}, {})
    words = write(tmp_path, scans=[scan], card=card, run={}).words
    assert "not available" in words
