"""Turn what users of BIDS Apps type into what the command line parser understands."""

import re
from collections.abc import Sequence

COMMANDS = ("scan", "participant", "group", "train", "synthesize", "evaluate", "models")
MANY = (
    "--participant-label", "--session-label", "--session-id", "--output-spaces",
    "--validation-label", "--channels", "--mask-filter", "--mask-values",
)  # fmt: skip
"""Options that take several values after one flag."""

# Not beginning with a hyphen: that is the next flag, ``-w`` for one.
_LABEL = re.compile(r"[A-Za-z0-9+][A-Za-z0-9+=:-]*")


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
