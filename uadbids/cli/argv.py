"""Turn what users of BIDS Apps type, flags of fMRIPrep and MRIQC too, into what is parsed."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from uadbids.errors import UsageError

COMMANDS = ("scan", "participant", "group", "train", "synthesize", "evaluate", "models")
MANY = (
    "--participant-label", "--session-label", "--session-id", "--output-spaces",
    "--validation-label", "--channels", "--mask-filter", "--mask-values",
)  # fmt: skip
"""Options that take several values after one flag."""

# Not beginning with a hyphen: that is the next flag, ``-w`` for one.
_LABEL = re.compile(r"[A-Za-z0-9+][A-Za-z0-9+=:-]*")
_MEMORY = ("--mem", "--mem-gb", "-m")
_ALIASES = {"--n-procs": "--nprocs", "--ncpus": "--nprocs"}
# Flag -> whether a value follows it, and why it is not needed.
_NOT_NEEDED = {
    "--fs-license-file": (True, "FreeSurfer is not used"),
    "--fs-subjects-dir": (True, "FreeSurfer is not used"),
    "--fs-no-reconall": (False, "FreeSurfer is not used"),
    "--no-submm-recon": (False, "FreeSurfer is not used"),
    "--run-uuid": (True, "every run names itself"),
    "--no-sub": (False, "nothing is ever sent"),
    "--low-mem": (False, "memory is planned by --mem-mb and --nprocs"),
    "--ants-nthreads": (True, "ANTs runs with one thread, so that results repeat"),
    "--md-only-boilerplate": (False, "--boilerplate-only is quick"),
    "--verbose-reports": (False, "there is one kind of report"),
}


def normalise(argv: Sequence[str]) -> list[str]:
    """Put the command first, repeat flags that were given several values, spell flags with ``-``.

    ``/data /out participant --participant_label 01 02`` becomes
    ``participant /data /out --participant-label 01 --participant-label 02``.
    """
    out: list[str] = []
    many = None
    for position, token in enumerate(argv):
        if token == "--":  # noqa: S105 - no password
            out += argv[position:]
            break
        if token.startswith("--"):
            flag, equals, value = token.partition("=")
            flag = flag.replace("_", "-")
            out.append(flag + equals + value)
            many = flag if flag in MANY and not equals else None
        elif many and out[-1] != many and token not in COMMANDS and _LABEL.fullmatch(token):
            out += [many, token]
        else:
            if many and out[-1] != many:
                many = None
            out.append(token)
    places = [place for place, word in enumerate(out) if word in COMMANDS]
    if places and places[0] > 0:
        # A folder may be called like a command: the third place is where BIDS Apps have theirs.
        out.insert(0, out.pop(2 if 2 in places else places[0]))
    return out


def translate(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Put our flags in the place of others' that mean the same, and take out what is not needed.

    Returned are the arguments, and a sentence for each flag that was taken out. UsageError for
    memory that is no number, and for a choice that only a filter file can make.
    """
    out: list[str] = []
    notes: list[str] = []
    tokens = iter(argv)
    for token in tokens:
        if token == "--":  # noqa: S105 - no password
            return [*out, token, *tokens], notes
        name, equals, value = token.partition("=")
        flag = name.replace("_", "-") if name.startswith("--") else name
        if flag in _MEMORY:
            out += ["--mem-mb", _megabytes(flag, value if equals else next(tokens, ""))]
            continue
        if flag == "--run-id":
            raise UsageError(
                '--run-id: choose runs by --bids-filter-file, such as {"flair": {"run": [1, 2]}}'
            )
        if flag in _NOT_NEEDED and _NOT_NEEDED[flag][0] and not equals:
            next(tokens, None)
        if flag in _NOT_NEEDED:
            notes.append(f"{flag} is not needed here: {_NOT_NEEDED[flag][1]}")
        else:
            out.append(_ALIASES.get(flag, name) + equals + value)
    return out, notes


def _megabytes(flag: str, value: str) -> str:
    """Read memory: in GB after --mem-gb, else in the unit that makes sense of the number."""
    number, unit = value.rstrip("bB"), 1.0
    if number[-1:].lower() in ("g", "m"):
        unit, number = (1000.0 if number[-1].lower() == "g" else 1.0), number[:-1]
    elif flag == "--mem-gb" or (number.replace(".", "", 1).isdigit() and float(number) < 1000):
        unit = 1000.0
    try:
        return str(int(float(number) * unit))
    except (ValueError, OverflowError):
        raise UsageError(f"{flag} {value}: give memory as a number, such as 8000 (MB)") from None


def check_command(argv: Sequence[str]) -> None:
    """Say what was meant where no word is a command; UsageError."""
    if not argv or argv[0].startswith("-") or set(argv) & set(COMMANDS):
        return
    if argv[0].casefold().endswith((".nii", ".nii.gz", ".dcm", ".zip")):
        raise UsageError(f"to examine one file: uadbids scan {' '.join(argv)}")
    words = [argv[2], argv[0]] if len(argv) > 2 else [argv[0]]
    for word in words:
        if close := get_close_matches(word.casefold(), COMMANDS, n=1, cutoff=0.75):
            raise UsageError(f"there is no {word!r}; did you mean {close[0]}?")
    raise UsageError(
        "say what to do, as the third word: uadbids BIDS_DIR OUTPUT_DIR participant (or group); "
        "of one file or DICOM folder: uadbids scan INPUT OUTPUT_DIR"
    )
