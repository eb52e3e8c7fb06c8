"""`uadbids BIDS_DIR OUTPUT_DIR group`."""

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags


def group(
    context: typer.Context,
    bids_dir: flags.BidsDir,
    output_dir: Annotated[Path, typer.Argument(help="Outputs of uadbids participant.")],
    participant_label: flags.ParticipantLabels = None,
    session_label: flags.SessionLabels = None,
    bids_filter_file: flags.FilterFile = None,
    bids_database_dir: flags.DatabaseDir = None,
    skip_bids_validation: flags.SkipValidation = False,
    ratings: Annotated[
        Path | None, flags.opt("Ratings that the page of the study exported (ratings.tsv).")
    ] = None,
    config_file: flags.ConfigFile = None,
    notrack: flags.NoTrack = False,
) -> None:
    """Gather all finished scans: table, page with plots, map of where findings lie."""
    from uadbids.run.group import GroupOptions
    from uadbids.run.group import group as run

    options = GroupOptions(
        bids_dir=bids_dir.absolute(),
        output_dir=output_dir.absolute(),
        participant_labels=tuple(participant_label or ()),
        session_labels=tuple(session_label or ()),
        filter_file=bids_filter_file,
        database_dir=bids_database_dir,
        request=flags.request(context),
        ratings=ratings,
    )
    raise typer.Exit(run(options))
