"""The words for the paper."""

import re

import pytest

from uadbids.model.bundle import find_bundle, read_card
from uadbids.reports.methods import describe_methods

CARD = read_card(find_bundle("dense3d")).to_dict()
SCAN = {
    "BrainMaskMethod": "deepbet",
    "ResidualKind": "excess-z",
    "Threshold": 3.019542,
    "ThresholdSource": "false-positive rate of 0.005",
    "MinVolumeMm3": 10.0,
    "ExaminedBrainFraction": 0.78,
}


def test_every_citation_has_its_reference_in_all_three_forms():
    text = describe_methods("1.0", CARD, [SCAN])
    cited = set(re.findall(r"@(\w+)", text.markdown))
    assert cited == set(re.findall(r"^@\w+\{(\w+),", text.bibtex, re.MULTILINE))
    assert text.html.count("<li>") == len(cited) and "@" not in text.html
    assert "(Lambert et al., 2021)" in text.html


@pytest.mark.parametrize(
    ("method", "words", "cites"),
    [
        ("hd-bet", "masked by HD-BET", "isensee2019"),
        ("deepbet", "masked by deepbet", "fisch2024"),
        ("mask", "masks that the dataset provides", None),
        ("none", "already extracted", None),
    ],
)
def test_what_ran_is_what_is_told(method, words, cites):
    text = describe_methods("1.0", CARD, [SCAN | {"BrainMaskMethod": method}])
    assert words in text.markdown
    for key in ("isensee2019", "fisch2024"):
        assert (key in text.bibtex) == (key == cites)


def test_the_numbers_are_those_of_the_run():
    text = describe_methods("1.2.3", CARD, [SCAN, SCAN | {"ExaminedBrainFraction": 0.9}]).markdown
    for words in (
        "uadbids 1.2.3", "between 78 and 90 %", "threshold was 3.01954", "under 10 mm3",
        "residual 'excess-z'", f"trained on {CARD['training']['n_scans']} scans", "160 x 192 x 80",
    ):  # fmt: skip
        assert words in text


def test_scans_that_differ_are_all_named():
    text = describe_methods("1.0", CARD, [SCAN, SCAN | {"Threshold": 5.0}]).markdown
    assert "3.01954, 5" in text


def test_without_scans_the_defaults_are_told():
    assert "deepbet" in describe_methods("1.0", CARD, []).markdown


def test_a_name_from_elsewhere_stays_text():
    card = CARD | {"name": "<script>"}
    assert "<script>" not in describe_methods("1.0", card, [SCAN]).html
