"""Every flag, raised and not raised, with what the reader is told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.qc.flags import FLAGS, brain_mask_warnings, flag_meanings, judge

SOUND = {
    "T1wCorrelation": 0.1,
    "VentricleLevel": 0.2,
    "ReconstructionErrorPercentile": 50.0,
    "ReconstructionError": 0.05,
    "RegistrationOverlap": 0.85,
    "RegistrationGain": 1.3,
    "OrientationRatio": 1.2,
    "BrainVolumeMl": 1300.0,
    "FieldOfViewCut": [],
    "FindingVolumeMl": 30.0,
    "SymmetricGreyFraction": 0.1,
    "BrainOutsideTemplateMl": 2.0,
    "FindingBoundaryFraction": 0.1,
    "SourceVoxelSizeMm": [0.9, 0.9, 3.0],
}
# The first value is at the limit and passes, the second does not.
CASES = [
    ("follows-normal-tissue", "SymmetricGreyFraction", 0.25, 0.61, "61 % of what was found"),
    ("contrast", "T1wCorrelation", 0.5, 0.51, "T1-weighted brain 0.51"),
    ("contrast", "VentricleLevel", 1.0, 1.01, "ventricles to brain 1.01"),
    ("domain-shift", "ReconstructionErrorPercentile", 95.0, 100.0, "mean error 0.05"),
    ("registration", "RegistrationOverlap", 0.75, 0.749, "overlap 0.749"),
    ("registration", "RegistrationGain", 1.05, 1.04, "information 1.04 times"),
    ("orientation", "OrientationRatio", 1.05, 1.04, "turned or mirrored (1.04)"),
    ("brain-volume", "BrainVolumeMl", 800.0, 799.4, "holds 799 mL"),
    ("brain-volume", "BrainVolumeMl", 2000.0, 2001.0, "holds 2001 mL"),
    ("field-of-view-cut", "FieldOfViewCut", [], ["above", "left"], "(above, left)"),
    ("brain-mask-leak", "BrainOutsideTemplateMl", 10.0, 16.4, "16 mL of the brain mask"),
    ("mask-boundary", "FindingBoundaryFraction", 0.3, 0.41, "41 % of what was found"),
    ("thick-slices", "SourceVoxelSizeMm", [1, 3.0, 1], [1.0, 1.0, 4.4], "4.4 mm thick"),
]


def test_a_sound_scan_raises_nothing():
    assert judge(SOUND) == ([], [])
    assert judge({}) == ([], [])


@pytest.mark.parametrize(("code", "key", "passes", "raises", "words"), CASES)
def test_each_flag_at_its_limit(code, key, passes, raises, words):
    assert judge({**SOUND, key: passes}) == ([], [])
    codes, sentences = judge({**SOUND, key: raises})
    assert codes == [code]
    assert words in sentences[0]
    # A reader is told what to do.
    assert re.search(r": (look|check|distrust|scanner|what|lesions|the header)", sentences[0])


def test_a_little_symmetric_grey_matter_says_nothing_of_the_map():
    assert judge({**SOUND, "FindingVolumeMl": 2.0, "SymmetricGreyFraction": 0.9}) == ([], [])


def test_all_flags_are_tried_here_and_have_a_meaning():
    assert {flag.code for flag in FLAGS} == {case[0] for case in CASES}
    assert {flag.code for flag in FLAGS} < set(flag_meanings())


def test_a_fact_that_is_missing_beside_one_that_raises_is_said():
    codes, sentences = judge({"RegistrationOverlap": 0.5})
    assert codes == ["registration"] and "not measured" in sentences[0]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            key: st.none() | st.floats(-10, 1e4)
            for key in SOUND
            if key not in ("FieldOfViewCut", "SourceVoxelSizeMm")
        },
    )
)
def test_any_facts_can_be_judged(facts):
    codes, sentences = judge(facts)
    assert len(codes) == len(sentences) == len(set(codes))
    assert not any("{" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("method", "trained_with", "expected"),
    [("deepbet", ["deepbet"], 0), ("deepbet", [], 0), ("none", ["deepbet"], 1)],
)
def test_other_brain_masks_than_in_training_are_told(method, trained_with, expected):
    found = brain_mask_warnings({"BrainMaskMethod": method}, trained_with)
    assert len(found) == expected
    assert all("trained with brain masks by deepbet" in sentence for sentence in found)
