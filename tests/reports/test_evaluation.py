import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from uadbids.reports.evaluation import EvaluationReport, write_evaluation_page

NASTY = "label-<script>alert(1)</script>"


def row(scan, method, kind, volume, **others):
    figures = dict.fromkeys(
        ("sensitivity", "average_precision", "prevalence", "lesion_examined"), 0.1
    )
    return {
        "scan": scan,
        "reference": NASTY,
        "method": method,
        "threshold_kind": kind,
        "dice": 0.5,
        "lesions": 2,
        "lesions_found": 1,
        "findings": 3,
        "findings_right": 1,
        "lesion_volume_ml": volume,
        "found_volume_ml": 2 * volume,
        "lesion_third": None,
        **figures,
        **others,
    }


def line(method, kind, **others):
    names = (
        "specificity", "specificity_image", "sensitivity", "mae_brain", "average_precision",
        "lesion_recall", "lesion_precision", "lesion_f1", "hd95_mm", "volume_error_ml",
        "false_positive_ml", "volume_correlation", "prevalence", "dice_low", "dice_high",
        "dice_small", "dice_medium", "dice_large",
    )  # fmt: skip
    return {
        **dict.fromkeys(names, 0.25),
        "reference": NASTY,
        "method": method,
        "threshold_kind": kind,
        "scans": 2,
        "participants": 2,
        "dice": 0.4634,
        "dice_sd": 0.2591,
        "at_edge": "no",
        **others,
    }


@pytest.fixture
def report():
    compared = {"compared_with": "robust z", "difference": -0.0312, "p_value": 0.5}
    return EvaluationReport(
        facts={"UadbidsVersion": "1.0", "ModelSHA256": "ab", "CountedOn": "the grid"},
        kinds={"label-free": "found without labels", "oracle": "needs labels"},
        model="dense3d",
        summary=[
            line("dense3d", "label-free", **compared),
            line("dense3d", "oracle", at_edge="yes", dice_sd=math.nan, mae_brain=math.nan),
            line("robust z", "oracle"),
        ],
        rows=[
            row("sub-01", "dense3d", "label-free", 3.0),
            row("sub-02", "dense3d", "label-free", 0.0),
            row("sub-01", "robust z", "oracle", 3.0),
        ],
        recalls=np.linspace(0.1, 1, 10),
        curves={(NASTY, "dense3d"): np.linspace(0.9, 0.1, 10)},
        notes={"sub-02": ["the mask holds no lesion"]},
        failures={"sub-03": "shifted & refused"},
        left_over={"sub-04": "there is no lesion mask of it"},
        command="uadbids evaluate '<a>'",
    )


def test_the_page_tells_what_was_measured(report, tmp_path):
    text = write_evaluation_page(tmp_path / "evaluation.html", report).read_text()
    for words in (
        "0.463 ± 0.259",
        "Dice -0.031 against robust z, p = 0.500 (2 participants)",
        "sub-03 could not be measured.</strong> shifted &amp; refused",
        "the mask holds no lesion",
        "there is no lesion mask of it",
        "oracle *",
        "Model SHA256",
        "uadbids evaluate &#39;&lt;a&gt;&#39;",
        "Not a medical device",
    ):
        assert words in text
    assert ">0.463</td>" in text  # no deviation of a single scan
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_names_cannot_become_markup_and_nothing_is_fetched(report, tmp_path):
    page = write_evaluation_page(tmp_path / "evaluation.html", report)
    text = page.read_text()
    assert "<script" not in text
    assert "http" not in text
    for link in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert not link.startswith(("/", "data:"))
    for path in (tmp_path / "figures").iterdir():
        svg = path.read_text()
        ElementTree.fromstring(svg)
        assert "<script" not in svg
        # Names of vocabularies are no addresses to fetch; nothing else may be one.
        assert not re.findall(r'(?<!xmlns)(?<!xlink)(?:href|src)="http', svg)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "precision_recall.svg",
        "volumes.svg",
    ]


def test_the_figures_show_every_method(report, tmp_path):
    write_evaluation_page(tmp_path / "evaluation.html", report)
    volumes = (tmp_path / "figures" / "volumes.svg").read_text()
    assert "dense3d (label-free)" in volumes
    assert "robust z (oracle)" in volumes
    assert "chance (prevalence)" in (tmp_path / "figures" / "precision_recall.svg").read_text()


def test_scans_without_any_lesion_have_no_curve(report, tmp_path):
    empty = replace(report, curves={}, notes={}, failures={}, left_over={})
    text = write_evaluation_page(tmp_path / "evaluation.html", empty).read_text()
    assert "precision_recall" not in text
    assert "Not paired" not in text
    assert not (tmp_path / "figures" / "precision_recall.svg").exists()


def test_thirds_are_shown_where_there_are_any(report, tmp_path):
    page = tmp_path / "evaluation.html"
    assert "Dice, small" not in write_evaluation_page(page, report).read_text()
    thirds = [{**r, "lesion_third": "small"} for r in report.rows]
    assert "Dice, small" in write_evaluation_page(page, replace(report, rows=thirds)).read_text()


def test_the_same_report_gives_the_same_bytes(report, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write_evaluation_page(folder / "evaluation.html", report)
    for path in first.rglob("*.*"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
