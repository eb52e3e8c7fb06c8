"""`uadbids BIDS_DIR OUTPUT_DIR group`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli.flags import (
    BidsDir,
    DatabaseDir,
    NoTrack,
    ParticipantLabels,
    SessionLabels,
    SkipValidation,
)


def group(
    bids_dir: BidsDir,
    output_dir: Annotated[Path, typer.Argument(help="Outputs of uadbids participant.")],
    participant_label: ParticipantLabels = None,
    session_label: SessionLabels = None,
    bids_filter_file: Annotated[
        Path | None, typer.Option(help="JSON file with pybids filters, as participant had it.")
    ] = None,
    bids_database_dir: DatabaseDir = None,
    skip_bids_validation: SkipValidation = False,
    notrack: NoTrack = False,
) -> None:
    """Gather all finished scans: table, page with plots, map of lesion frequency."""
    from uadbids.run.group import GroupOptions
    from uadbids.run.group import group as run

    options = GroupOptions(
        bids_dir=bids_dir.absolute(),
        output_dir=output_dir.absolute(),
        participant_labels=tuple(participant_label or ()),
        session_labels=tuple(session_label or ()),
        filter_file=bids_filter_file,
        database_dir=bids_database_dir,
    )
    raise typer.Exit(run(options))
