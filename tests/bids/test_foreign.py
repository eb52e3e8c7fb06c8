"""Sidecars and tables as spreadsheets, scanners and old scripts leave them."""

import json
from pathlib import Path

import pytest

from uadbids.bids.foreign import age_in_years, load_json, read_tsv
from uadbids.bids.query import find_scans
from uadbids.bids.select import select_participants
from uadbids.bids.tables import write_tables

STRIPPED = '{"Site": "Köln", "SkullStripped": true}'
ODD = {
    "latin-1": (STRIPPED.encode("latin-1"), "it is in Latin-1, not UTF-8"),
    "mark": (STRIPPED.encode("utf-8-sig"), ""),
    "utf-16": (STRIPPED.encode("utf-16"), "it is in UTF-16, not UTF-8"),
    "utf-16 without a mark": (STRIPPED.encode("utf-16-le"), "it is in UTF-16, not UTF-8"),
    "line break": (b'{"Site": "a\nb", "SkullStripped": true}',
                   "it has line breaks or tabs in a text"),
    "tab": (b'{"Site": "a\tb", "SkullStripped": true}', "it has line breaks or tabs in a text"),
    "comma": (b'{"Site": "a,}", "SkullStripped": true,}', "it has commas before brackets"),
    "all": ('{"Site": "Köln,]\n", "SkullStripped": true,\n}'.encode("latin-1"),
            "it is in Latin-1, not UTF-8 and it has commas before brackets and it has line breaks "
            "or tabs in a text"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", ["FLAIR.json", "sub-01/anat/sub-01_FLAIR.json"])
def test_an_odd_sidecar_keeps_its_fields(kind, place, make_raw):
    content, wrong = ODD[kind]
    raw = make_raw("sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/anat/sub-01_run-2_FLAIR.nii.gz")
    (raw / place).write_bytes(content)
    said: list[str] = []
    scan, _ = find_scans(raw, note=said.append)
    assert scan.skip_reason is None and scan.metadata["SkullStripped"] is True
    assert "a,}" in scan.metadata["Site"] if kind == "comma" else scan.metadata["Site"]
    assert said == ([f"the sidecar {place} was read although {wrong}"] if wrong else [])


def test_an_empty_sidecar_takes_nothing_from_one_above(make_raw):
    raw = make_raw("sub-01/anat/sub-01_FLAIR.nii.gz")
    (raw / "FLAIR.json").write_text(STRIPPED)
    (raw / "sub-01/anat/sub-01_FLAIR.json").write_text(" \n")
    (scan,) = find_scans(raw)
    assert scan.metadata["SkullStripped"] is True and scan.skip_reason is None


@pytest.mark.parametrize(("said", "meant"), [("true", True), (" True", True), ("FALSE", False)])
def test_what_decides_on_the_brain_mask_may_be_a_text(said, meant, make_raw):
    raw = make_raw("sub-01/anat/sub-01_FLAIR.nii.gz")
    (raw / "FLAIR.json").write_text(json.dumps({"SkullStripped": said}))
    assert find_scans(raw)[0].metadata["SkullStripped"] is meant


def test_a_sidecar_that_is_not_here_is_to_be_fetched(make_raw):
    raw = make_raw("sub-01/anat/sub-01_FLAIR.nii.gz", "sub-02/anat/sub-02_FLAIR.nii.gz")
    (raw / "sub-01/anat/sub-01_FLAIR.json").symlink_to("../.git/annex/objects/x")
    # Metadata that sessions and scans share names with must not hinder anything.
    (raw / "sub-02/anat/sub-02_FLAIR.json").write_text('{"session": {"a": 1}, "subject": 3}')
    first, second = find_scans(raw)
    assert first.skip_reason == (
        "its sidecar sub-01_FLAIR.json is a link to content that is not here: fetch it"
    )
    assert second.skip_reason is None


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_description_does_not_refuse_a_dataset(kind, make_raw):
    raw = make_raw("sub-01/anat/sub-01_FLAIR.nii.gz")
    (raw / "dataset_description.json").write_bytes(ODD[kind][0])
    said: list[str] = []
    assert len(find_scans(raw, note=said.append)) == 1
    assert len(said) == bool(ODD[kind][1])


@pytest.mark.parametrize("text", ["{", '{"a": }', '{"a": 1 "b": 2}', "[" * 100_000])
def test_what_may_have_lost_a_field_is_not_read(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        load_json(tmp_path / "a.json")


# --- tables

TABLE = "participant_id\tgroup\tnote\nsub-01\tpatient\t{}\nsub-02\tpatient\tb\nsub-03\tcontrol\tc\n"


@pytest.mark.parametrize("note", ['"open', 'a "word', '"a" b', 'ends"', '"closed"', "plain"])
def test_a_quote_swallows_no_rows(note, make_raw):
    raw = make_raw()
    (raw / "participants.tsv").write_text(TABLE.format(note))
    assert select_participants(raw, "group == 'patient'") == {"01", "02"}
    rows = read_tsv(raw / "participants.tsv")
    assert [row["note"] for row in rows[1:]] == ["b", "c"]
    assert rows[0]["note"].strip('"') == note.strip('"')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("heading", ["participant_id", "Participant_ID", "participant id "])
@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
def test_tables_of_spreadsheets_are_read(encoding, heading, line, make_raw):
    raw = make_raw()
    text = TABLE.replace("participant_id", heading).replace("sub-03", "03").format("é")
    (raw / "participants.tsv").write_bytes(text.replace("\n", line).encode(encoding))
    assert select_participants(raw, "group == 'patient'") == {"01", "02"}
    assert select_participants(raw, "group == 'control'") == {"03"}


# --- ages


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("34", "34"), ("34.5", "34.5"), ("034Y", "34"), ("34,5", "34.5"), ("34 years", "34"),
        ("408M", "34"), ("18 months", "1.5"), ("0.25", "0.25"), ("095Y", "89"), ("92,5", "89"),
        ("93 years", "89"), ("93 years old", "89"), ("1140M", "89"), (">89", "89"), ("> 89", "89"),
        (">=89", "89"), ("89+", "89"), ("90+", "89"), ("89", "89"), ("95", "89"), ("4900W", "89"),
        ("34715D", "89"), ("90yo", None), ("85-95", None), ("ninety", None), ("born 1929", None),
        ("1929-03-01", None), ("n/a", None), ("", None), ("nan", None), ("inf", None),
        ("1e3", None), ("-95", None), (">18", None), (None, None),
    ],
)  # fmt: skip
def test_ages_are_understood_or_left_out(text, years):
    assert age_in_years(text) == years


def test_units_of_the_dictionary_hold_for_plain_numbers():
    assert age_in_years("1140", "months") == "89" and age_in_years("408", "Months") == "34"
    assert age_in_years("12", "decades") is None


def test_outputs_hold_no_age_above_89(make_raw, tmp_path):
    raw, out = make_raw(), tmp_path / "out"
    (out / "sub-01").mkdir(parents=True)
    (out / "sub-02").mkdir()
    (raw / "participants.tsv").write_text("participant_id\tAge\tSex\n01\t1140\tF\nsub-02\t??\tM\n")
    (raw / "participants.json").write_text(
        json.dumps({"Age": {"Description": "at the scan", "Units": "months"}})
    )
    write_tables(out, raw)
    assert read_tsv(out / "participants.tsv") == [
        {"participant_id": "sub-01", "age": "89", "sex": "F"},
        {"participant_id": "sub-02", "age": "n/a", "sex": "M"},
    ]
    meaning = json.loads((out / "participants.json").read_text())["age"]
    assert meaning == {"Description": "at the scan", "Units": "year"}


def test_a_table_that_is_not_there_has_no_rows(tmp_path: Path):
    assert read_tsv(tmp_path / "absent.tsv") == []
