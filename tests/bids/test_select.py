"""Choosing participants by an expression."""

import operator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.bids.select import select_participants
from uadbids.errors import UsageError

TABLE = """participant_id\tgroup\tage\tscore\tsite
sub-01\tcontrol\t25\t-1.5\t1
sub-02\tcontrol\t70\t2\t2
sub-03\tpatient\t40\tn/a\tn/a
sub-04\tn/a\t89+\t0\t1
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "participants.tsv").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("group == 'control'", "01 02"),
        ("'control' == group", "01 02"),
        ("group != 'control'", "03"),
        ("not group == 'control'", "03"),
        ("group in ('patient', 'other')", "03"),
        ("group not in ['patient']", "01 02"),
        ("score > 0", "02"),
        ("score <= -1.5", "01"),
        ("-2 < score < 1", "01 04"),
        ("site == 1 and score < 0 or group == 'patient'", "01 03"),
        ("score >= site", "02"),
        ("score < 0 or not score < 0", "01 02 04"),
        ("participant_id in ('sub-01', 'sub-04')", "01 04"),
        ("age == '89+'", "04"),
        (" group == 'patient' ", "03"),
    ],
)
def test_who_is_selected(dataset, expression, labels):
    assert select_participants(dataset, expression) == set(labels.split())


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("sex == 'M'", "there are participant_id, group, age, score, site"),
        ("group = 'control'", "no condition"),
        ("", "no condition"),
        ("group", "no comparison"),
        ("'control'", "no comparison"),
        ("group == 'x'", "nobody"),
        ("score == 'high'", "not both text or both numbers"),
        ("age < 60", "not both text or both numbers"),
        ("score in (1, 'a')", "not both text or both numbers"),
        ("group in 'control'", "a list"),
        ("group == ('control',)", "a list"),
        ("group in (site, 1)", "no text or number"),
        ("score == True", "no column, text or number"),
        ("score + 1 == 2", "no column, text or number"),
        ("group is 'control'", "compare by"),
        ("score == 1 " * 200, "longer than"),
        ("(" * 400, "no condition"),
        ("group == '\0'", "no condition"),
        (r"group == '\d'", "nobody"),
        # What an evaluation would have run.
        ("__import__('os').system('true') == 0", "no column, text or number"),
        ("group.__class__ == 'control'", "no column, text or number"),
        ("(lambda: 1)() == 1", "no column, text or number"),
        ("[group for group in (1,)] == 1", "no column, text or number"),
        ("(group := 'control') == 'control'", "no column, text or number"),
        ("print", "no comparison"),
    ],
)
def test_mistakes_end_in_a_sentence(dataset, expression, says):
    with pytest.raises(UsageError, match=r"^--select .*") as caught:
        select_participants(dataset, expression)
    assert says in str(caught.value)


@pytest.mark.parametrize("table", [None, "", "participant_id\tage\n", "subject\tage\n1\t2\n"])
def test_a_table_is_needed(tmp_path, table):
    if table is not None:
        (tmp_path / "participants.tsv").write_text(table)
    with pytest.raises(UsageError, match="needs .*participants.tsv with a column participant_id"):
        select_participants(tmp_path, "age > 1")


def chosen(folder: Path, expression: str) -> tuple[set[str], str]:
    """Labels, or the sentence that came instead."""
    try:
        return set(select_participants(folder, expression)), ""
    except UsageError as error:
        return set(), str(error)


OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, "==": operator.eq}


@given(
    values=st.lists(st.none() | st.integers(-50, 50) | st.floats(-1e6, 1e6), min_size=1),
    symbol=st.sampled_from(sorted(OPERATORS)),
    limit=st.floats(-1e6, 1e6) | st.integers(-50, 50),
)
def test_numbers_compare_as_numbers_and_halves_make_the_whole(
    tmp_path_factory, values, symbol, limit
):
    folder = tmp_path_factory.mktemp("d")
    rows = [f"sub-{i}\t{'n/a' if value is None else repr(value)}" for i, value in enumerate(values)]
    (folder / "participants.tsv").write_text("\n".join(["participant_id\tx", *rows]))

    known = {str(i): value for i, value in enumerate(values) if value is not None}
    condition = f"x {symbol} {limit!r}"
    (yes, _), (no, _) = chosen(folder, condition), chosen(folder, f"not {condition}")
    assert yes == {i for i, value in known.items() if OPERATORS[symbol](float(value), float(limit))}
    # A missing value is on neither side.
    assert no == known.keys() - yes


@given(st.text(max_size=40))
def test_any_text_selects_or_ends_in_a_sentence(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "participants.tsv").write_text(TABLE)
    labels, sentence = chosen(folder, text)
    assert bool(labels) != sentence.startswith("--select")
    assert labels <= {"01", "02", "03", "04"}
