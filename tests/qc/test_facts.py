from uadbids.qc.facts import Facts, brain_mask_doubts, stage


def reported(values):
    return stage("conform", lambda: values)


def test_warnings_and_seconds_of_all_stages_are_kept():
    facts = reported({"Warnings": ["a"]}) + Facts(seconds={"n4": 2.0})
    facts += stage("detect", lambda: {"Warnings": ["b", "c"], "Device": "cpu"})
    told, summary = facts.for_sidecars()
    assert list(told["StageSeconds"]) == ["conform", "n4", "detect"]
    assert told.pop("StageSeconds")["n4"] == 2.0
    assert told == {"Flags": [], "Warnings": ["a", "b", "c"], "Device": "cpu"}
    assert summary == {}


def test_results_go_to_the_summary_and_settings_stay():
    facts = Facts({"BrainMaskMethod": "deepbet", "BrainVolumeMl": 1300.1})
    told, summary = (facts + Facts({"RegistrationOverlap": 0.9})).for_sidecars()
    assert summary == {"BrainVolumeMl": 1300.1, "RegistrationOverlap": 0.9}
    assert told == {"Flags": [], "Warnings": [], "StageSeconds": {}, "BrainMaskMethod": "deepbet"}


def test_the_parts_of_a_sum_stay_as_they_are():
    one, other = Facts(warnings=("a",), seconds={"n4": 1.0}), Facts(warnings=("b",))
    told, _ = (one + other).for_sidecars()
    told["Warnings"].append("later")
    told["StageSeconds"]["x"] = 0
    assert (one, other) == (Facts(warnings=("a",), seconds={"n4": 1.0}), Facts(warnings=("b",)))


def test_a_function_that_reports_nothing_gives_its_time_alone():
    facts = stage("write", lambda: None)
    assert facts == Facts(seconds=facts.seconds) and facts.seconds.keys() == {"write"}


def test_what_the_whole_raises_comes_first():
    facts = reported({"Warnings": ["a"], "Flags": ["header"]})
    facts = (facts + Facts({"SourceVoxelSizeMm": [0.5, 0.5, 5.0]})).judged()
    assert facts.flags == ("thick-slices", "header")
    assert facts.warnings[0].startswith("slices are 5.0 mm thick")
    assert facts.warnings[1:] == ("a",)


def test_a_brain_cut_out_in_another_way_than_in_training_is_flagged():
    facts = {"BrainMaskMethod": "deepbet"}
    assert brain_mask_doubts(facts, ["hd-bet"]).flags == ("brain-mask-method",)
    assert brain_mask_doubts(facts, ["deepbet"]) == brain_mask_doubts(facts, []) == Facts()
