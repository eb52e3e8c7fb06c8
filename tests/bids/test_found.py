"""Nothing that was asked for is passed over in silence."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from uadbids.bids.query import find_scans
from uadbids.errors import UsageError

SOUND = "sub-01/anat/sub-01_FLAIR.nii.gz"


def reasons(root, **selection):
    return {scan.path.name: scan.skip_reason for scan in find_scans(root, **selection)}


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("sub-02_FLAIR__dup-01.nii.gz", "sub-02_acq-dup01_FLAIR.nii.gz"),
        ("sub-02_FLAIRa.nii.gz", "sub-02_acq-a_FLAIR.nii.gz"),
        ("sub-02_FLAIR_Eq_1.nii.gz", "sub-02_acq-Eq1_FLAIR.nii.gz"),
        ("sub-02_T2FLAIR.nii.gz", "sub-02_FLAIR.nii.gz"),
        ("sub-02_run-1_flair_3D.nii", "sub-02_acq-3D_run-1_FLAIR.nii"),
    ],
)
def test_names_like_a_flair_are_named_with_a_better_one(name, better, make_raw):
    raw = make_raw(SOUND, f"sub-02/anat/{name}")
    _, scan = find_scans(raw)
    assert scan.is_refused and scan.subject == "02"
    assert scan.skip_reason == f"{name} is not a BIDS name of a FLAIR: rename it, to {better}"


def test_a_copy_beside_a_sound_scan_is_named_and_fails_nothing(make_raw):
    raw = make_raw(SOUND, "sub-01/anat/sub-01_FLAIR__dup-01.nii.gz")
    sound, copy = find_scans(raw)
    assert sound.skip_reason is None
    assert "rename it" in copy.skip_reason and not copy.is_refused


@pytest.mark.parametrize(
    "name",
    ["sub-01_desc-FLAIR_mask.nii.gz", "sub-01_FLAIR_mask.nii.gz", "sub-01_acq-FLAIR_T2w.nii.gz",
     "sub-01_label-FLAIRlesion_roi.nii.gz", "sub-01_FLAIR.json", "sub-01_FLAIR.nii.gz.part"],
)  # fmt: skip
def test_other_images_of_a_flair_are_left_alone(name, make_raw):
    raw = make_raw(SOUND)
    (raw / "sub-01/anat" / name).write_text("{}")
    assert list(reasons(raw)) == ["sub-01_FLAIR.nii.gz"]


@pytest.mark.parametrize(
    ("place", "folder"),
    [("sub-02/sub-02_FLAIR.nii.gz", "sub-02"), ("sub-02/flair/sub-02_FLAIR.nii.gz", "sub-02"),
     ("sub-02/ses-1/sub-02_ses-1_FLAIR.nii", "sub-02/ses-1"),
     ("sub-02/ses-1/Anat/sub-02_ses-1_FLAIR.nii", "sub-02/ses-1")],
)  # fmt: skip
def test_a_flair_outside_of_anat_is_named(place, folder, make_raw):
    _, scan = find_scans(make_raw(SOUND, place))
    assert scan.is_refused
    assert scan.skip_reason == f"{place} does not lie in {folder}/anat: move it"


@pytest.mark.parametrize("ending", ["mgz", "img", "hdr", "nii.bz2", "nrrd"])
def test_other_formats_are_named(ending, make_raw):
    raw = make_raw(SOUND)
    path = raw / f"sub-02/anat/sub-02_FLAIR.{ending}"
    path.parent.mkdir(parents=True)
    path.touch()
    _, scan = find_scans(raw)
    assert scan.is_refused and scan.skip_reason.endswith("is no NIfTI file: convert it to .nii.gz")


def test_hidden_files_are_no_images(make_raw):
    names = ("._sub-01_FLAIR.nii.gz", ".sub-01_FLAIR.nii.gz")
    raw = make_raw(SOUND, *(f"sub-01/anat/{name}" for name in names))
    assert list(reasons(raw)) == ["sub-01_FLAIR.nii.gz"]


def test_labels_in_filters_may_have_their_prefix(make_raw):
    raw = make_raw(SOUND, "sub-02/ses-2/anat/sub-02_ses-2_FLAIR.nii.gz")
    for filters in ({"session": "ses-2"}, {"flair": {"suffix": "FLAIR", "subject": ["sub-02"]}}):
        assert list(reasons(raw, filters=filters)) == ["sub-02_ses-2_FLAIR.nii.gz"]


def test_a_folder_named_like_an_image_is_refused(make_raw):
    raw = make_raw(SOUND)
    (raw / "sub-02/anat/sub-02_FLAIR.nii.gz").mkdir(parents=True)
    _, scan = find_scans(raw)
    assert scan.is_refused and scan.skip_reason.startswith("it is no file")


def test_participants_without_a_flair_are_named_and_refused_where_they_were_asked_for(make_raw):
    raw = make_raw(SOUND, "sub-04/anat/sub-04_T2w.nii.gz", "sub-05/func/sub-05_bold.nii.gz")
    named = {scan.name: scan for scan in find_scans(raw)}
    assert named["sub-04"].skip_reason == "it has no FLAIR image (anat holds sub-04_T2w.nii.gz)"
    assert named["sub-05"].skip_reason == (
        "it has no FLAIR image, nor any other image in a folder anat"
    )
    assert named["sub-04"].is_absent and not named["sub-04"].is_refused
    asked = {scan.name: scan for scan in find_scans(raw, participant_label=["01", "04"])}
    assert asked["sub-04"].is_refused and asked["sub-01"].skip_reason is None
    assert len(asked) == 2


def test_filters_hide_nobody_who_was_asked_for(make_raw):
    raw = make_raw("sub-01/anat/sub-01_run-2_FLAIR.nii.gz", "sub-04/anat/sub-04_FLAIR.nii.gz")
    assert list(reasons(raw, filters={"run": 2})) == ["sub-01_run-2_FLAIR.nii.gz"]
    asked = reasons(raw, filters={"run": 2}, participant_label=["01", "04"])
    assert asked["sub-04"] == "none of its FLAIR images fits the filter"


def test_a_session_that_one_of_those_asked_for_lacks_is_named(make_raw):
    raw = make_raw("sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz", "sub-04/anat/sub-04_FLAIR.nii.gz")
    found = reasons(raw, participant_label=["01", "04"], session_label=["2"])
    assert found["sub-04"] == "it has none of the sessions that were asked for"
    assert list(reasons(raw, session_label=["2"])) == ["sub-01_ses-2_FLAIR.nii.gz"]


def test_without_any_flair_the_sentence_speaks_of_what_was_given(make_raw, tmp_path):
    raw = make_raw("sub-04/anat/sub-04_T1w.nii.gz")
    with pytest.raises(UsageError, match=r"There is no FLAIR image \(.*sub-04: it has no FLAIR"):
        find_scans(raw)
    with pytest.raises(UsageError, match="fits the labels and filters that were given"):
        find_scans(raw, participant_label=["04"])
    with pytest.raises(UsageError, match="holds no participant; give the folder"):
        find_scans(make_raw(name="empty"))
    more = make_raw("sub-02/dwi/sub-02_dwi.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz", name="more")
    with pytest.raises(UsageError, match=r"\(sub-01, the first of 2 participants: it has no FLAIR"):
        find_scans(more)


def test_derivatives_without_a_flair_are_told_from_raw_data(make_raw):
    raw = make_raw("sub-04/anat/sub-04_desc-preproc_T1w.nii.gz", DatasetType="derivative")
    with pytest.raises(UsageError, match=r"holds derivatives, .* give the raw dataset"):
        find_scans(raw)


# --- .bidsignore


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("sub-02\n", {"01", "03"}), ("sub-02/\n", {"01", "03"}), ("/sub-02", {"01", "03"}),
        ("*_FLAIR.nii.gz\n!sub-01_*\n", {"01"}), ("sub-0[23]/**", {"01"}),
        ("**/anat/sub-03*", {"01", "02"}),
        ("sub-*/sub-02_FLAIR.nii.gz", {"01", "02", "03"}),
        ("# sub-01\n\nextra/\n", {"01", "02", "03"}),
        ("sub-?1/anat/*", {"02", "03"}), ("sub-0", {"01", "02", "03"}),
    ],
)  # fmt: skip
def test_bidsignore_is_honoured_and_counted(rules, left, make_raw):
    raw = make_raw(*(f"sub-0{n}/anat/sub-0{n}_FLAIR.nii.gz" for n in (1, 2, 3)))
    (raw / ".bidsignore").write_text(f"sub-none/\n{rules}")
    (raw / "sub-none").mkdir()
    said: list[str] = []
    assert {scan.subject for scan in find_scans(raw, note=said.append)} == left
    gone = 3 - len(left)
    assert said == ([f".bidsignore leaves out {gone} FLAIR images"] if gone else [])


# --- the index


def test_several_runs_may_ask_for_an_index_at_once(make_raw, tmp_path):
    raw = make_raw(*(f"sub-{n:02d}/anat/sub-{n:02d}_FLAIR.nii.gz" for n in range(1, 9)))

    def found(label):
        return len(find_scans(raw, participant_label=[label], database_dir=tmp_path / "index"))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(found, [f"{n:02d}" for n in range(1, 9)])) == [1] * 8
    assert {path.name for path in (tmp_path / "index").iterdir()} == {
        ".lock", "layout_index.sqlite",
    }  # fmt: skip


def spoil(kind, raw, index):
    if kind == "damaged":
        index.write_bytes(index.read_bytes()[:5000])
    elif kind == "no database":
        index.write_bytes(b"nothing of the kind" * 100)
    elif kind == "killed":
        index.write_bytes(b"")
    elif kind == "half":
        with sqlite3.connect(index) as database:
            database.execute("DELETE FROM files WHERE path LIKE '%sub-02%'")
    elif kind == "later":
        later = raw / "sub-03/anat/sub-03_FLAIR.nii.gz"
        later.parent.mkdir(parents=True)
        shutil.copy(raw / SOUND, later)
    else:
        (raw / "sub-02/anat/sub-02_FLAIR.nii.gz").unlink()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("damaged", "cannot be read"),
        ("no database", "cannot be read"),
        ("killed", "cannot be read"),
        ("half", "lacks 1 files (sub-02_FLAIR.nii.gz)"),
        ("later", "lacks 1 files (sub-03_FLAIR.nii.gz)"),
        ("gone", "lists what is not there any more, 1 files (sub-02_FLAIR.nii.gz)"),
    ],
)
def test_an_index_that_is_wrong_is_made_again(kind, said, make_raw, tmp_path):
    raw = make_raw(SOUND, "sub-02/anat/sub-02_FLAIR.nii.gz")
    notes: list[str] = []
    find_scans(raw, database_dir=tmp_path / "index", note=notes.append)
    assert notes == []
    spoil(kind, raw, tmp_path / "index" / "layout_index.sqlite")
    sound = reasons(raw)
    assert reasons(raw, database_dir=tmp_path / "index", note=notes.append) == sound
    assert len(notes) == 1 and said in notes[0] and notes[0].endswith("it is made again")
    assert reasons(raw, database_dir=tmp_path / "index", note=notes.append) == sound
    assert len(notes) == 1
