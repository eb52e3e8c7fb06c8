"""Flags that more than one command has."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uadbids.errors import UsageError

if TYPE_CHECKING:
    from uadbids.run.runlog import Request

BidsDir = Annotated[Path, typer.Argument(help="Root of the BIDS dataset.")]
OutputDir = Annotated[Path, typer.Argument(help="Where the outputs go.")]
WorkDir = Annotated[
    Path,
    typer.Option("--work-dir", "-w", help="Intermediate results; a second run goes on from them."),
]
Procs = Annotated[
    int | None,
    typer.Option("--nprocs", "--nthreads", "--n-cpus", min=1, help="Steps at the same time."),
]
# What a generator of NumPy takes.
Seed = Annotated[
    int,
    typer.Option("--random-seed", min=0, max=2**32 - 1, help="Seed of every random choice."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda[:N].")]
SkullStrip = Annotated[
    str,
    typer.Option(
        "--skull-strip",
        help="auto, hd-bet, deepbet, mask (given in the dataset) or none. auto: none where the "
        "sidecar says SkullStripped, else HD-BET where its weights are, else deepbet.",
    ),
]
HdBetWeights = Annotated[
    Path | None, typer.Option("--hd-bet-weights", help="Folder with HD-BET's weights.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", "--debug", help="Show and log what nipype does, step by step."),
]
DEFAULT_SEED = 20210301


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take defaults from a TOML file; what is typed wins."""
    if path is not None:
        import tomllib

        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"--config-file {path}: cannot be read as TOML ({error})") from error
        known = {parameter.name for parameter in context.command.params}
        named = {key.replace("-", "_"): value for key, value in values.items()}
        unknown = ", ".join(sorted(named.keys() - known))
        if unknown:
            raise UsageError(f"--config-file {path}: there are no such flags: {unknown}")
        context.default_map = named
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config-file",
        callback=_read_config,
        is_eager=True,
        help="TOML file with flags, for example model = 'dense3d'; what is typed wins.",
    ),
]
FilterFile = Annotated[
    Path | None, typer.Option(help="JSON file with pybids filters of the FLAIR.")
]
ParticipantLabels = Annotated[
    list[str] | None, typer.Option(help="Participants, with or without 'sub-'.")
]
SessionLabels = Annotated[
    list[str] | None,
    typer.Option("--session-label", "--session-id", help="Sessions, with or without 'ses-'."),
]
DatabaseDir = Annotated[Path | None, typer.Option(help="Keep the index of the dataset here.")]
SkipValidation = Annotated[
    bool, typer.Option("--skip-bids-validation", help="Accepted; no validator is run here.")
]
NoTrack = Annotated[bool, typer.Option("--notrack", help="Accepted; nothing is ever sent.")]


def request(context: typer.Context) -> Request:
    """Return the command line and what it came to, defaults and ``--config-file`` included."""
    from uadbids.run.runlog import Request

    names = [str(parameter.name) for parameter in context.command.params]
    settings = {name: context.params.get(name) for name in names if name != "config_file"}
    command = shlex.join(["uadbids", *sys.argv[1:]])
    return Request(command, settings, verbose=bool(settings.get("verbose")))
