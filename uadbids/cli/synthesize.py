"""`uadbids synthesize LABELS OUTPUT_DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags
from uadbids.cli.flags import opt


def synthesize(
    context: typer.Context,
    labels: Annotated[
        Path, typer.Argument(help="Folder of label maps (1 mm, FreeSurfer's labels), or one file.")
    ],
    output_dir: flags.OutputDir,
    count: Annotated[int | None, opt("Number of scans; default: one a label map.", min=1)] = None,
    random_seed: flags.Seed = flags.DEFAULT_SEED,
    device: flags.Device = "auto",
    nprocs: Annotated[
        int, opt("Scans at a time.", "--nprocs", "--nthreads", "--n-cpus", min=1)
    ] = 1,
    config_file: flags.ConfigFile = None,
) -> None:
    """Make a BIDS dataset of synthetic healthy FLAIR scans from label maps."""
    from uadbids.run.synthesize import SynthesizeOptions, synthesize_dataset

    options = SynthesizeOptions(
        labels=labels.absolute(),
        output_dir=output_dir.absolute(),
        count=count,
        random_seed=random_seed,
        device=device,
        nprocs=nprocs,
        request=flags.request(context),
    )
    made = synthesize_dataset(options)
    typer.echo(f"{made} scans made in {output_dir}")
