import pytest

from uadbids.bids.facts import brain_mask_warnings, join_facts


def test_warnings_and_seconds_of_all_steps_are_kept():
    facts, summary = join_facts(
        [
            {"Warnings": ["a"], "StageSeconds": {"conform": 1.0}},
            {"StageSeconds": {"n4": 2.0}},
            {"Warnings": ["b", "c"], "Device": "cpu"},
        ]
    )
    assert facts == {
        "Warnings": ["a", "b", "c"],
        "StageSeconds": {"conform": 1.0, "n4": 2.0},
        "Device": "cpu",
    }
    assert summary == {}


def test_results_go_to_the_summary_and_settings_stay():
    facts, summary = join_facts(
        [{"BrainMaskMethod": "deepbet", "BrainVolumeMl": 1300.1}, {"RegistrationOverlap": 0.9}]
    )
    assert summary == {"BrainVolumeMl": 1300.1, "RegistrationOverlap": 0.9}
    assert facts == {"Warnings": [], "StageSeconds": {}, "BrainMaskMethod": "deepbet"}


def test_the_reports_themselves_stay_as_they_are():
    reports = [{"Warnings": ["a"], "StageSeconds": {"n4": 1.0}}, {"Warnings": ["b"]}]
    facts, _ = join_facts(reports)
    facts["Warnings"].append("later")
    facts["StageSeconds"]["x"] = 0
    assert reports == [{"Warnings": ["a"], "StageSeconds": {"n4": 1.0}}, {"Warnings": ["b"]}]


def test_no_report_gives_empty_facts():
    assert join_facts([]) == ({"Warnings": [], "StageSeconds": {}}, {})


@pytest.mark.parametrize(
    ("method", "trained_with", "expected"),
    [("deepbet", ["deepbet"], 0), ("deepbet", [], 0), ("none", ["deepbet"], 1)],
)
def test_other_brain_masks_than_in_training_are_told(method, trained_with, expected):
    found = brain_mask_warnings({"BrainMaskMethod": method}, trained_with)
    assert len(found) == expected
    assert all("trained with brain masks by deepbet" in sentence for sentence in found)
