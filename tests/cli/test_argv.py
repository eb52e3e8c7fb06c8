import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.cli.argv import COMMANDS, MANY, check_command, normalise, translate
from uadbids.errors import UsageError

LABELS = "--participant-label 01 --participant-label 02"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        # where the command stands
        ("/data /out participant", "participant /data /out"),
        ("participant /data /out", "participant /data /out"),
        ("train /data /out --steps 50", "train /data /out --steps 50"),
        ("models", "models"),
        ("/data /out group", "group /data /out"),
        ("group /data /out", "group /data /out"),
        ("/data group group", "group /data group"),
        ("/data /out --participant_label 01 02 group", f"group /data /out {LABELS}"),
        ("/data /out group --participant-label 01 02", f"group /data /out {LABELS}"),
        ("--participant-label 01 02 -- /data /out", f"{LABELS} -- /data /out"),
        ("/data /out group --session-id=1 --notrack", "group /data /out --session-id=1 --notrack"),
        ("-w work /data /out participant", "participant -w work /data /out"),
        ("--device cpu /data /out participant", "participant --device cpu /data /out"),
        ("/data participant participant", "participant /data participant"),
        ("data models participant", "participant data models"),
        ("/data/participant /out participant", "participant /data/participant /out"),
        # flags without a command
        ("", ""),
        ("--help", "--help"),
        ("--version", "--version"),
        ("/data /out group-level", "/data /out group-level"),
        ("/data /out participant --help", "participant /data /out --help"),
        # several values after one flag
        ("/d /o participant --participant-label 01 02", f"participant /d /o {LABELS}"),
        ("/d /o participant --participant_label 01 02", f"participant /d /o {LABELS}"),
        (
            "/d /o participant --participant-label sub-01 sub-02",
            "participant /d /o --participant-label sub-01 --participant-label sub-02",
        ),
        ("--participant-label 01 02 participant /d /o", f"participant {LABELS} /d /o"),
        ("--participant-label 01 02 -- /d /o participant", f"participant {LABELS} -- /d /o"),
        ("--participant-label 01 02 /d /o participant", f"participant {LABELS} /d /o"),
        ("/d /o participant --participant-label 01", "participant /d /o --participant-label 01"),
        (
            "/d /o participant --participant-label 01 02 -w work",
            f"participant /d /o {LABELS} -w work",
        ),
        (
            "/d /o participant -w work --participant-label 01 02 -v",
            f"participant /d /o -w work {LABELS} -v",
        ),
        (
            "/d /o participant --participant-label 01 02 --session-id 1 2",
            f"participant /d /o {LABELS} --session-id 1 --session-id 2",
        ),
        (
            "/d /o participant --output-spaces orig template --dry-run",
            "participant /d /o --output-spaces orig --output-spaces template --dry-run",
        ),
        (
            "/d /o participant --participant-label=01 --debug",
            "participant /d /o --participant-label=01 --debug",
        ),
        ("/d /o participant --model dense3d 5", "participant /d /o --model dense3d 5"),
        # the spelling of flags, not of values
        ("/d_a /o participant --work_dir w_1", "participant /d_a /o --work-dir w_1"),
        ("/d /o participant --work_dir=w_1", "participant /d /o --work-dir=w_1"),
        # after -- nothing is read
        (
            "participant -- /d --participant_label 01 02",
            "participant -- /d --participant_label 01 02",
        ),
    ],
)
def test_what_users_type_becomes_what_the_parser_reads(typed, meant):
    assert normalise(typed.split()) == meant.split()


flags = st.sampled_from(
    [*MANY, "--participant_label", "--work_dir", "--model=a_b", "-w", "-v", "--"]
)
words = st.one_of(flags, st.sampled_from(COMMANDS), st.text("01a/-+_=.", max_size=4))


@given(st.lists(words, max_size=10))
def test_no_token_is_lost_and_only_flags_of_several_values_are_added(argv):
    out = normalise(argv)
    for token in out:
        if token in argv:
            argv = [*argv]
            argv.remove(token)
        else:
            respelt = [a for a in argv if a.startswith("--") and _respelt(a) == token]
            assert respelt or token in MANY
            if respelt:
                argv.remove(respelt[0])
    assert argv == []


@given(st.lists(words, max_size=10))
def test_normalising_twice_changes_nothing_more_once_the_command_is_first(argv):
    once = normalise(["participant", *argv])
    assert once[0] == "participant"
    assert normalise(once) == once


def _respelt(token):
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value


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
