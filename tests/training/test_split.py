"""Who is held out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.bids.query import Scan
from uadbids.errors import UsageError
from uadbids.training.split import SplitOptions, choose_held_out, subject_groups

WHERE = Path("study")
LABELS = st.lists(st.sampled_from([f"{n:02d}" for n in range(40)]), min_size=2).filter(
    lambda labels: len(set(labels)) > 1
)


def own(labels):
    """Everybody has a head of their own."""
    return {label: label for label in labels}


# Thirty participants from five label maps, and three of flesh and blood.
MIXED = {f"s{n:02d}": f"map{n % 5}" for n in range(30)} | own("abc")


@given(LABELS, st.floats(0.01, 0.9), st.integers(0, 99))
def test_draw_leaves_somebody_on_both_sides_and_can_be_repeated(labels, fraction, seed):
    options = SplitOptions(fraction=fraction, seed=seed)
    (held_out,) = choose_held_out(own(labels), options, WHERE)
    assert 0 < len(held_out) < len(set(labels))
    assert held_out < set(labels)
    assert choose_held_out(own(sorted(labels)), options, WHERE) == [held_out]


@given(LABELS, st.data())
def test_folds_hold_everybody_out_once(labels, data):
    subjects = set(labels)
    folds = data.draw(st.integers(2, len(subjects)))
    groups = choose_held_out(own(labels), SplitOptions(folds=folds, seed=3), WHERE)
    assert len(groups) == folds
    assert sorted(label for group in groups for label in group) == sorted(subjects)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_seeds_draw_differently():
    labels = [f"{n:02d}" for n in range(20)]
    drawn = {choose_held_out(own(labels), SplitOptions(seed=seed), WHERE)[0] for seed in range(5)}
    assert len(drawn) > 1


def test_labels_come_with_or_without_sub():
    options = SplitOptions(labels=("sub-b", "c"))
    assert choose_held_out(own("abc"), options, WHERE) == [{"b", "c"}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (SplitOptions(labels=("z",)), "no FLAIR of z in study"),
        (SplitOptions(labels=("a", "b")), "nobody is left to train on"),
        (SplitOptions(folds=1), "choose 2 or more"),
        (SplitOptions(folds=3), "at most the 2 participants"),
        (SplitOptions(folds=2, labels=("a",)), "leave out --validation-label"),
    ],
)
def test_splits_that_cannot_be(options, says):
    with pytest.raises(UsageError, match=says):
        choose_held_out(own("ab"), options, WHERE)


def test_one_participant_is_too_few():
    with pytest.raises(UsageError, match="at least two participants"):
        choose_held_out(own("aa"), SplitOptions(), WHERE)


@given(st.floats(0.01, 0.9), st.sampled_from([0, 2, 5, 8]), st.integers(0, 99))
def test_nobody_is_held_out_whose_head_is_trained_on(fraction, folds, seed):
    options = SplitOptions(fraction=fraction, folds=folds, seed=seed)
    for held_out in choose_held_out(MIXED, options, WHERE):
        assert 0 < len(held_out) < len(MIXED)
        inside = {MIXED[who] for who in held_out}
        assert inside.isdisjoint(MIXED[who] for who in MIXED.keys() - held_out)


@pytest.mark.parametrize(
    ("heads", "options", "says"),
    [
        (MIXED, SplitOptions(labels=("s00", "a")), "s00 would be held out, but others from the"),
        (MIXED, SplitOptions(folds=9), "at most the 8 subject groups"),
        ({"s1": "map", "s2": "map"}, SplitOptions(), "not all come from one label map"),
    ],
)
def test_splits_of_one_head_that_cannot_be(heads, options, says):
    with pytest.raises(UsageError, match=says):
        choose_held_out(heads, options, WHERE)


def test_synthetic_scans_have_the_head_of_their_label_map():
    def scan(label: str, **metadata: str) -> Scan:
        return Scan(Path(f"sub-{label}_FLAIR.nii.gz"), {"subject": label}, metadata)

    one = {"LabelMap": "labels.nii.gz", "LabelMapSHA256": "1"}
    other = {"LabelMap": "labels.nii.gz", "LabelMapSHA256": "2"}
    heads = subject_groups([scan("a", **one), scan("b", **one), scan("c", **other), scan("d")])
    assert heads == {"a": "1", "b": "1", "c": "2", "d": "d"}
