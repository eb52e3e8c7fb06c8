"""The command line: typer commands, errors -> exit status. Nothing heavy is imported up here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from uadbids import __version__
from uadbids.cli.flags import (
    DEFAULT_SEED,
    BidsDir,
    ConfigFile,
    Device,
    HdBetWeights,
    OutputDir,
    Procs,
    Seed,
    SkullStrip,
    Verbose,
    WorkDir,
)
from uadbids.commands.argv import normalise
from uadbids.errors import UadbidsError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.command()
def participant(
    bids_dir: BidsDir,
    output_dir: OutputDir,
    participant_label: Annotated[
        list[str] | None, typer.Option(help="Participants, with or without 'sub-'.")
    ] = None,
    session_label: Annotated[
        list[str] | None,
        typer.Option("--session-label", "--session-id", help="Sessions, with or without 'ses-'."),
    ] = None,
    bids_filter_file: Annotated[
        Path | None, typer.Option(help="JSON file with pybids filters of the FLAIR.")
    ] = None,
    bids_database_dir: Annotated[
        Path | None, typer.Option(help="Keep the index of the dataset here.")
    ] = None,
    skip_bids_validation: Annotated[
        bool, typer.Option("--skip-bids-validation", help="Accepted; no validator is run here.")
    ] = False,
    model: Annotated[str, typer.Option(help="Packaged model, or folder of a bundle.")] = "dense3d",
    threshold: Annotated[
        float | None, typer.Option(help="Threshold on the anomaly map; default: calibrated.")
    ] = None,
    false_positive_rate: Annotated[
        float | None, typer.Option(help="Share of healthy voxels above the calibrated threshold.")
    ] = None,
    residual: Annotated[
        str | None,
        typer.Option(help="positive, signed, abs or hyperintense."),
    ] = None,
    min_size_mm3: Annotated[
        float | None, typer.Option(min=0, help="Smallest lesion; default: the model's.")
    ] = None,
    output_spaces: Annotated[
        list[str] | None, typer.Option(help="orig (always written), and template (default: both).")
    ] = None,
    skull_strip: SkullStrip = "auto",
    hd_bet_weights: HdBetWeights = None,
    device: Device = "auto",
    work_dir: WorkDir = Path("work"),
    clean_workdir: Annotated[
        bool, typer.Option("--clean-workdir", help="Remove intermediate results if all went well.")
    ] = False,
    nprocs: Procs = None,
    omp_nthreads: Annotated[int, typer.Option(min=1, help="CPU threads of one step.")] = 1,
    mem_mb: Annotated[int | None, typer.Option(min=1000, help="Memory to plan with.")] = None,
    use_plugin: Annotated[
        Path | None, typer.Option(help="nipype plugin file (YAML), for a cluster.")
    ] = None,
    stop_on_first_crash: Annotated[
        bool, typer.Option("--stop-on-first-crash", help="End the run at the first failure.")
    ] = False,
    random_seed: Seed = DEFAULT_SEED,
    config_file: ConfigFile = None,
    verbose: Verbose = False,
    write_graph: Annotated[
        bool, typer.Option("--write-graph", help="Write the graph of steps (.dot) and go on.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and why not; compute nothing.")
    ] = False,
    reports_only: Annotated[
        bool, typer.Option("--reports-only", help="Make the pages again from the outputs.")
    ] = False,
    notrack: Annotated[
        bool, typer.Option("--notrack", help="Accepted; nothing is ever sent.")
    ] = False,
) -> None:
    """Write anomaly maps and lesion masks of every FLAIR of a BIDS dataset."""
    from uadbids.commands import participant as command

    settings = {
        "threshold": threshold,
        "false_positive_rate": false_positive_rate,
        "residual": residual,
        "min_volume_mm3": min_size_mm3,
    }
    options = command.ParticipantOptions(
        bids_dir=bids_dir.absolute(),
        output_dir=output_dir.absolute(),
        participant_labels=tuple(participant_label or ()),
        session_labels=tuple(session_label or ()),
        filter_file=bids_filter_file,
        database_dir=bids_database_dir,
        model=model,
        settings={key: value for key, value in settings.items() if value is not None},
        spaces=tuple(output_spaces or command.SPACES),
        clean_work_dir=clean_workdir,
    )
    bundle, card = command.check(options)
    if reports_only:
        command.remake_pages(options, card)
        return
    scans = command.select(options)
    if dry_run:
        command.show_plan(scans)
        return
    from uadbids.commands.setup import run_options

    run = run_options(
        bids_dir,
        work_dir,
        nprocs=nprocs,
        omp_nthreads=omp_nthreads,
        skull_strip=skull_strip,
        weights=hd_bet_weights,
        device=device,
        random_seed=random_seed,
        verbose=verbose,
    )
    run = replace(
        run,
        mem_mb=mem_mb,
        use_plugin=use_plugin,
        stop_on_first_crash=stop_on_first_crash,
        write_graph=write_graph,
    )
    raise typer.Exit(command.participant(options, scans, bundle, card, run))


@app.command(hidden=True)
def group(bids_dir: BidsDir, output_dir: OutputDir) -> None:
    """Gather a study: not there yet."""
    raise UsageError(
        "the group level is not there yet; volumes of all scans lie in the *_scans.tsv tables of "
        f"{output_dir}"
    )


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show the card of this model.")] = None,
) -> None:
    """List the packaged models, or show the card of one."""
    from uadbids.commands.models import list_models, show_model

    for line in [show_model(name)] if name else list_models():
        typer.echo(line)


@app.command()
def train(
    bids_dir: BidsDir,
    output_dir: OutputDir,
    model: Annotated[
        str, typer.Option(help="dense3d, dense2d, spatial3d or spatial2d.")
    ] = "dense3d",
    name: Annotated[
        str | None, typer.Option(help="Name of the bundle; default: the model.")
    ] = None,
    lesion_masks: Annotated[
        Path | None,
        typer.Option(help="BIDS dataset with masks of lesions, which are not learnt as healthy."),
    ] = None,
    exclude_hyperintense: Annotated[
        bool, typer.Option(help="Do not learn voxels too bright for healthy tissue.")
    ] = False,
    validation_label: Annotated[
        list[str] | None, typer.Option(help="Participants to hold out (several after one flag).")
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of participants to hold out.")
    ] = 0.2,
    about: Annotated[
        Path | None, typer.Option(help="JSON file with what the card shall tell of the data.")
    ] = None,
    steps: Annotated[int, typer.Option(min=50, help="Optimiser steps, in steps of 50.")] = 10_000,
    epoch_steps: Annotated[int, typer.Option(min=50, help="Steps between two validations.")] = 250,
    corruption: Annotated[bool, typer.Option(help="Corrupt inputs; targets stay clean.")] = True,
    work_dir: WorkDir = Path("work"),
    nprocs: Procs = None,
    skull_strip: SkullStrip = "auto",
    hd_bet_weights: HdBetWeights = None,
    device: Device = "auto",
    random_seed: Seed = DEFAULT_SEED,
    config_file: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Train a model on a healthy BIDS cohort and write its bundle."""
    from uadbids.commands.setup import run_options

    run = run_options(
        bids_dir,
        work_dir,
        nprocs=nprocs,
        omp_nthreads=1,
        skull_strip=skull_strip,
        weights=hd_bet_weights,
        device=device,
        random_seed=random_seed,
        verbose=verbose,
    )
    from uadbids.commands.train import TrainOptions, read_about, train, train_config

    options = TrainOptions(
        bids_dir=bids_dir.absolute(),
        output_dir=output_dir.absolute(),
        model=model,
        name=name or model,
        # The steps run in folders of their own: there a relative path leads nowhere.
        lesion_masks=lesion_masks.absolute() if lesion_masks else None,
        exclude_hyperintense=exclude_hyperintense,
        validation_labels=tuple(validation_label or ()),
        validation_fraction=validation_fraction,
        about=read_about(about),
        config=train_config(steps, epoch_steps, corruption, random_seed),
        run=run,
    )
    typer.echo(train(options))


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

    uadbids BIDS_DIR OUTPUT_DIR participant [OPTIONS]
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a mistake of the user ends in one sentence, not in a traceback."""
    arguments = normalise(sys.argv[1:] if argv is None else argv)
    try:
        app(args=arguments, prog_name="uadbids")
    except UadbidsError as error:
        typer.echo(f"uadbids: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == STOPPED:
            typer.echo("uadbids: stopped; the same command goes on from here", err=True)
        raise
