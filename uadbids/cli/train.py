"""`uadbids train BIDS_DIR OUTPUT_DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
