import pytest

from uadbids.cli.others import check_command, translate
from uadbids.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--mem 8000", "--mem-mb 8000"), ("--mem 8", "--mem-mb 8000"),
        ("--mem=8G", "--mem-mb 8000"),
        ("--mem-gb 7.5", "--mem-mb 7500"), ("--mem_gb=16", "--mem-mb 16000"),
        ("-m 4", "--mem-mb 4000"), ("--mem 6000MB", "--mem-mb 6000"),
        ("--mem-mb 8000", "--mem-mb 8000"), ("--n_procs 3", "--nprocs 3"),
        ("/d /o participant -w a=b", "/d /o participant -w a=b"),
        ("/d /o participant -- --mem 8", "/d /o participant -- --mem 8"),
    ],
)  # fmt: skip
def test_flags_of_others_become_ours(typed, meant):
    assert translate(typed.split()) == (meant.split(), [])


@pytest.mark.parametrize(
    "typed",
    ["--fs-license-file /l.txt", "--fs_license_file=/l.txt", "--fs-no-reconall", "--no-sub",
     "--low-mem"],
)  # fmt: skip
def test_what_is_not_needed_is_taken_out_with_a_sentence(typed):
    rest, notes = translate(["/d", "/o", "participant", *typed.split(), "-v"])
    assert rest == ["/d", "/o", "participant", "-v"]
    assert len(notes) == 1 and "is not needed here: " in notes[0]


def test_a_choice_of_runs_is_not_dropped():
    with pytest.raises(UsageError, match="choose runs by --bids-filter-file"):
        translate(["/d", "/o", "participant", "--run-id", "1", "2"])


@pytest.mark.parametrize("value", ["much", "T1w", "", "inf"])
def test_memory_that_is_no_number_is_refused(value):
    with pytest.raises(UsageError, match="give memory as a number"):
        translate(["--mem", value])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/d /o particpant", "'particpant'; did you mean participant?"),
        ("/d /o Participant -v", "'Participant'; did you mean participant?"),
        ("/d /o particpant --participant-label 01", "did you mean participant"),
        ("/d /o groups", "did you mean group"),
        ("trian /d /o", "did you mean train"),
        ("/d /o", "say what to do, as the third word"),
        ("/d /o all", "say what to do, as the third word"),
    ],
)
def test_a_mistyped_level_is_met_with_what_was_meant(typed, said, here):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        check_command(typed.split())
    done = here(*typed.split())
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_another_space_is_named(here, example_dataset, tmp_path):
    flags = ("--output-spaces", "MNI152NLin2009cAsym:res-2", "--fs-license-file", "/l", "--mem=8")
    done = here(example_dataset, tmp_path / "out", "participant", *flags)
    assert done.returncode == 2
    assert "--output-spaces MNI152NLin2009cAsym:res-2: choose of orig" in done.stderr
    assert "uadbids: --fs-license-file is not needed here: FreeSurfer is not used" in done.stderr
