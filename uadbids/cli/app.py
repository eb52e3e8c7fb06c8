"""The command line: typer commands, errors -> exit status. Nothing heavy is imported up here."""

import sys
from typing import Annotated

import typer

from uadbids import __version__
from uadbids.cli.argv import check_command, normalise, translate
from uadbids.cli.evaluate import evaluate
from uadbids.cli.group import group
from uadbids.cli.models import models
from uadbids.cli.participant import participant
from uadbids.cli.scan import scan
from uadbids.cli.synthesize import synthesize
from uadbids.cli.train import train
from uadbids.errors import UadbidsError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

for command in (scan, participant, group, train, synthesize, evaluate, models):
    app.command()(command)

# What typer makes of Ctrl-C.
STOPPED = 130


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"uadbids {__version__}")
        raise typer.Exit


@app.callback()
def uadbids(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find unusual bright spots in FLAIR scans, without labels. Not a medical device.

    uadbids scan INPUT... OUTPUT_DIR [OPTIONS]

    uadbids BIDS_DIR OUTPUT_DIR {participant,group} [OPTIONS]
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a mistake of the user ends in one sentence, not in a traceback."""
    try:
        typed, notes = translate(sys.argv[1:] if argv is None else argv)
        for note in notes:
            typer.echo(f"uadbids: {note}", err=True)
        check_command(typed)
        app(args=normalise(typed), prog_name="uadbids")
    except UadbidsError as error:
        typer.echo(f"uadbids: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == STOPPED:
            typer.echo("uadbids: stopped; the same command goes on from here", err=True)
        raise
