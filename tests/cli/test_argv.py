import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.cli.argv import COMMANDS, MANY, normalise

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
