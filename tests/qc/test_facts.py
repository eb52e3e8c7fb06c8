from uadbids.qc.facts import join_facts


def test_warnings_and_seconds_of_all_steps_are_kept():
    facts, summary = join_facts(
        [
            {"Warnings": ["a"], "StageSeconds": {"conform": 1.0}},
            {"StageSeconds": {"n4": 2.0}},
            {"Warnings": ["b", "c"], "Device": "cpu"},
        ]
    )
    assert facts == {
        "Flags": [],
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
    assert facts == {"Flags": [], "Warnings": [], "StageSeconds": {}, "BrainMaskMethod": "deepbet"}


def test_the_reports_themselves_stay_as_they_are():
    reports = [{"Warnings": ["a"], "StageSeconds": {"n4": 1.0}}, {"Warnings": ["b"]}]
    facts, _ = join_facts(reports)
    facts["Warnings"].append("later")
    facts["StageSeconds"]["x"] = 0
    assert reports == [{"Warnings": ["a"], "StageSeconds": {"n4": 1.0}}, {"Warnings": ["b"]}]


def test_no_report_gives_empty_facts():
    assert join_facts([]) == ({"Flags": [], "Warnings": [], "StageSeconds": {}}, {})


def test_what_the_whole_raises_is_told_first():
    facts, _ = join_facts(
        [{"Warnings": ["a"], "Flags": ["header"]}, {"SourceVoxelSizeMm": [0.5, 0.5, 5.0]}]
    )
    assert facts["Flags"] == ["thick-slices", "header"]
    assert facts["Warnings"][0].startswith("slices are 5.0 mm thick")
    assert facts["Warnings"][1:] == ["a"]
