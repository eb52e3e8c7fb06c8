"""Flags that more than one command has."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uadbids.errors import UsageError

if TYPE_CHECKING:
    from uadbids.run.options import RunOptions
    from uadbids.run.runlog import Request


def opt(text: str, *names: str, **rules: Any) -> Any:
    """Declare a flag by its help; its names and bounds where typer's defaults will not do."""
    return typer.Option(*names, help=text, **rules)


BidsDir = Annotated[Path, typer.Argument(help="Root of the BIDS dataset.")]
OutputDir = Annotated[Path, typer.Argument(help="Where the outputs go.")]
WorkDir = Annotated[
    Path, opt("Intermediate results; a second run goes on from them.", "--work-dir", "-w")
]
Procs = Annotated[
    int | None, opt("Steps at the same time.", "--nprocs", "--nthreads", "--n-cpus", min=1)
]
# What a generator of NumPy takes.
Seed = Annotated[int, opt("Seed of every random choice.", "--random-seed", min=0, max=2**32 - 1)]
Device = Annotated[str, opt("auto, cpu or cuda[:N].", "--device")]
Model = Annotated[str, opt("Packaged model, or folder of a bundle.")]
Threshold = Annotated[float | None, opt("Threshold on the anomaly map; default: calibrated.")]
FalsePositiveRate = Annotated[
    float | None, opt("Share of healthy voxels above the calibrated threshold.")
]
Sensitivity = Annotated[
    str | None, opt("low, default or high: half, once or 1.5 times the model's rate.")
]
Residual = Annotated[str | None, opt("positive, signed, abs, excess-z, tfce or reader.")]
MinSize = Annotated[float | None, opt("Smallest finding; default: the model's.", min=0)]
KeepArtefacts = Annotated[
    bool,
    opt(
        "Whether masks hold findings tagged as likely artefacts; tables always do.",
        "--keep-artefacts/--drop-artefacts",
    ),
]
Threads = Annotated[
    int | None, opt("CPU threads of one step; by default what --nprocs leaves to a scan.", min=1)
]
SkullStrip = Annotated[
    str,
    opt(
        "auto, hd-bet, deepbet, mask (given in the dataset) or none. auto: none where the "
        "sidecar says SkullStripped, else HD-BET where its weights are, else deepbet.",
        "--skull-strip",
    ),
]
HdBetWeights = Annotated[Path | None, opt("Folder with HD-BET's weights.", "--hd-bet-weights")]
Verbose = Annotated[
    bool, opt("Show and log what nipype does, step by step.", "--verbose", "-v", "--debug")
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
    opt(
        "TOML file with flags, for example model = 'dense3d'; what is typed wins.",
        "--config-file",
        callback=_read_config,
        is_eager=True,
    ),
]
FilterFile = Annotated[Path | None, opt("JSON file with pybids filters of the FLAIR.")]
ParticipantLabels = Annotated[list[str] | None, opt("Participants, with or without 'sub-'.")]
SessionLabels = Annotated[
    list[str] | None, opt("Sessions, with or without 'ses-'.", "--session-label", "--session-id")
]
DatabaseDir = Annotated[Path | None, opt("Keep the index of the dataset here.")]
SkipValidation = Annotated[
    bool, opt("Accepted; no validator is run here.", "--skip-bids-validation")
]
NoTrack = Annotated[bool, opt("Accepted; nothing is ever sent.", "--notrack")]


# Flags of detection -> what the settings are called.
_DETECTION = {
    "threshold": "threshold",
    "false_positive_rate": "false_positive_rate",
    "sensitivity": "sensitivity",
    "residual": "residual",
    "min_size_mm3": "min_volume_mm3",
}


def detection(context: typer.Context) -> dict[str, Any]:
    """Return what was asked of detection; what was not is left to the model."""
    asked = {name: context.params[flag] for flag, name in _DETECTION.items()}
    return {name: value for name, value in asked.items() if value is not None}


def run_options(context: typer.Context, **others: Any) -> RunOptions:
    """Return what was asked of a run: the flags that are called like its options, and others."""
    from uadbids.run.options import RunOptions

    flags = context.params.keys() & {option.name for option in fields(RunOptions)}
    asked = {flag: context.params[flag] for flag in flags if context.params[flag] is not None}
    return RunOptions(**{"nprocs": 0, **others, **asked})


def request(context: typer.Context) -> Request:
    """Return the command line and what it came to, defaults and ``--config-file`` included."""
    from uadbids.run.runlog import Request

    names = [str(parameter.name) for parameter in context.command.params]
    settings = {name: context.params.get(name) for name in names if name != "config_file"}
    command = shlex.join(["uadbids", *sys.argv[1:]])
    return Request(command, settings, verbose=bool(settings.get("verbose")))
