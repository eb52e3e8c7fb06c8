"""`uadbids train BIDS_DIR OUTPUT_DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags
from uadbids.cli.flags import opt


def train(
    context: typer.Context,
    bids_dir: flags.BidsDir,
    output_dir: flags.OutputDir,
    name: Annotated[str | None, opt("Name of the bundle; default: the model.")] = None,
    about: Annotated[
        Path | None, opt("JSON file with what the card shall say of the data.")
    ] = None,
    select: Annotated[
        str | None, opt("Who is healthy, by participants.tsv: \"group == 'control'\".")
    ] = None,
    lesion_masks: Annotated[
        Path | None, opt("BIDS dataset with masks of lesions, which are not learnt as healthy.")
    ] = None,
    exclude_hyperintense: Annotated[
        bool, opt("Do not learn voxels too bright for healthy tissue.")
    ] = False,
    validation_label: Annotated[
        list[str] | None, opt("Participants to hold out (several after one flag).")
    ] = None,
    validation_fraction: Annotated[
        float, opt("Share of participants to hold out.", min=0.01, max=0.9)
    ] = 0.2,
    folds: Annotated[
        int, opt("Hold every participant out once, in so many trainings more.", min=0)
    ] = 0,
    model: Annotated[str, opt("dense3d, dense2d, spatial3d or spatial2d.")] = "dense3d",
    reader: Annotated[
        str, opt("Model whose reader, trained on painted lesions, the new one gets; or none.")
    ] = "dense3d",
    reader_pack: Annotated[
        Path | None,
        opt("Train the reader on, too: file that its samples are painted from (docs/training.md)."),
    ] = None,
    reader_steps: Annotated[int, opt("Optimiser steps of that.", min=1)] = 1000,
    latent: Annotated[int | None, opt("Size of the code; default: the model's.", min=1)] = None,
    channels: Annotated[
        list[int] | None, opt("Feature maps after each halving (several after one flag).", min=1)
    ] = None,
    steps: Annotated[int, opt("Optimiser steps, a multiple of 50.", min=50)] = 10_000,
    epoch_steps: Annotated[
        int | None, opt("Steps between two validations; default: 250 or what divides.", min=50)
    ] = None,
    patience: Annotated[
        int | None, opt("Stop after so many epochs without a better one.", min=1)
    ] = None,
    batch_size: Annotated[int, opt("Scans in one step.", min=1)] = 1,
    learning_rate: Annotated[float, opt("Of Adam, at its highest.", min=0)] = 1e-3,
    kl_reduction: Annotated[str, opt("mean or sum over the code (docs/method.md, 1).")] = "mean",
    augment: Annotated[bool, opt("Vary scans in shape, contrast and noise.")] = True,
    corruption: Annotated[bool, opt("Corrupt inputs; targets stay clean.")] = True,
    checkpoint_steps: Annotated[int, opt("Steps between two checkpoints.", min=1)] = 250,
    resume: Annotated[bool, opt("Go on from the checkpoint, or start over.")] = True,
    work_dir: flags.WorkDir = Path("work"),
    nprocs: flags.Procs = None,
    skull_strip: flags.SkullStrip = "auto",
    hd_bet_weights: flags.HdBetWeights = None,
    device: flags.Device = "auto",
    random_seed: flags.Seed = flags.DEFAULT_SEED,
    config_file: flags.ConfigFile = None,
    verbose: flags.Verbose = False,
    dry_run: Annotated[
        bool, opt("Show who would be trained on, and what it takes; write nothing.", "--dry-run")
    ] = False,
) -> None:
    """Train a model on a healthy BIDS cohort and write its bundle."""
    from uadbids.run.setup import prepare_run

    run = prepare_run(flags.run_options(context), bids_dir, verbose=verbose, is_dry=dry_run)
    from uadbids.run.progress import waiting

    with waiting("PyTorch starts"):
        from uadbids.model.bundle import find_bundle
        from uadbids.run.cohort import CohortOptions
        from uadbids.run.train import train
        from uadbids.run.train_reader import ReaderOptions
        from uadbids.run.train_settings import TrainOptions, network, read_about, train_config
        from uadbids.training.split import SplitOptions

    options = TrainOptions(
        output_dir=output_dir.absolute(),
        name=name or model,
        cohort=CohortOptions(
            bids_dir.absolute(),
            select,
            # The steps run in folders of their own: there a relative path leads nowhere.
            lesion_masks.absolute() if lesion_masks else None,
            exclude_hyperintense,
        ),
        split=SplitOptions(tuple(validation_label or ()), validation_fraction, folds, random_seed),
        network=network(model, latent, channels or ()),
        config=train_config(
            augment=augment,
            steps=steps,
            epoch_steps=epoch_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            kl_reduction=kl_reduction,
            corruption=corruption,
            checkpoint_every=checkpoint_steps,
            seed=random_seed,
            **({} if patience is None else {"patience": patience}),
        ),
        run=run,
        reader=None if reader == "none" else find_bundle(reader).absolute(),
        reader_training=ReaderOptions(reader_pack.absolute(), reader_steps)
        if reader_pack
        else None,
        about=read_about(about),
        resume=resume,
        request=flags.request(context),
    )
    if dry_run:
        from uadbids.run.train_plan import plan_training

        for line in plan_training(options):
            typer.echo(line)
        return
    folder = train(options)
    if folder is not None:
        typer.echo(folder)
