"""`uadbids scan INPUT... OUTPUT_DIR`."""

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags
from uadbids.cli.flags import opt


def scan(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="NIfTI files, folders or archives (zip, tar) of DICOM, or multi-frame files.",
            metavar="INPUT",
        ),
    ],
    output_dir: Annotated[Path, typer.Argument(help="Where the outputs go, side by side.")],
    series: Annotated[
        int | None, opt("Number of the DICOM series to examine; default: the FLAIR.")
    ] = None,
    longitudinal: Annotated[
        bool,
        opt(
            "The inputs are sessions of one person, the earliest first: compare them, too.",
            "--longitudinal",
        ),
    ] = False,
    keep_bids: Annotated[
        bool, opt("Keep the BIDS dataset with all derivatives, too.", "--keep-bids")
    ] = False,
    open_page: Annotated[bool, opt("On a terminal: open the report.", "--open")] = False,
    model: flags.Model = "dense3d",
    threshold: flags.Threshold = None,
    false_positive_rate: flags.FalsePositiveRate = None,
    sensitivity: flags.Sensitivity = None,
    residual: flags.Residual = None,
    min_size_mm3: flags.MinSize = None,
    keep_artefacts: flags.KeepArtefacts = True,
    skull_strip: flags.SkullStrip = "auto",
    hd_bet_weights: flags.HdBetWeights = None,
    device: flags.Device = "auto",
    nprocs: flags.Procs = None,
    omp_nthreads: flags.Threads = None,
    random_seed: flags.Seed = flags.DEFAULT_SEED,
    config_file: flags.ConfigFile = None,
    verbose: flags.Verbose = False,
) -> None:
    """Examine one FLAIR, or a few, without a BIDS dataset: NIfTI files or DICOM."""
    from uadbids.run import scan as command

    options = command.ScanOptions(
        inputs=tuple(path.absolute() for path in inputs),
        output_dir=output_dir.absolute(),
        series=series,
        longitudinal=longitudinal,
        model=model,
        settings=flags.detection(context),
        keep_artefacts=keep_artefacts,
        keep_bids=keep_bids,
        request=flags.request(context),
    )
    # The work directory becomes a temporary folder.
    asked = flags.run_options(context, work_dir=Path())
    status, pages = command.scan(options, asked, verbose=verbose)
    for page in pages:
        typer.echo(page)
        if open_page and sys.stdout.isatty():
            webbrowser.open(page.as_uri())
    raise typer.Exit(status)
