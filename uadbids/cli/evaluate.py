"""`uadbids evaluate MAPS_DIR MASKS_DIR OUTPUT_DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags
from uadbids.cli.flags import opt


def evaluate(
    context: typer.Context,
    maps_dir: Annotated[Path, typer.Argument(help="Outputs of uadbids participant.")],
    masks_dir: Annotated[
        Path, typer.Argument(help="BIDS dataset with lesion masks, in itself or its derivatives.")
    ],
    output_dir: Annotated[Path, typer.Argument(help="Where tables and page go.")],
    mask_filter: Annotated[
        list[str] | None, opt("Entities that masks must carry, for example desc=rater1.")
    ] = None,
    mask_values: Annotated[
        list[int] | None, opt("Values that are lesion; default: all above 0.")
    ] = None,
    resample_masks: Annotated[
        bool, opt("Bring masks to the grid of their scan.", "--resample-masks")
    ] = False,
    space: Annotated[
        str,
        opt(
            "orig: count on the grid of the scan. template: inside the model's crop of the "
            "template grid, as the paper does."
        ),
    ] = "orig",
    baselines: Annotated[
        bool, opt("Measure what simple baselines reach, in the same table.")
    ] = True,
    healthy_maps: Annotated[
        Path | None,
        opt(
            "Outputs of the same model for healthy scans: gives the baselines label-free "
            "thresholds, and the voxel-wise one its mean and SD."
        ),
    ] = None,
    random_seed: flags.Seed = flags.DEFAULT_SEED,
    config_file: flags.ConfigFile = None,
) -> None:
    """Measure maps against masks that people drew, beside simple baselines."""
    from uadbids.run.evaluate import EvaluateOptions
    from uadbids.run.evaluate import evaluate as run

    options = EvaluateOptions(
        maps_dir=maps_dir,
        masks_dir=masks_dir,
        output_dir=output_dir,
        mask_filters=tuple(mask_filter or ()),
        mask_values=tuple(mask_values or ()),
        space=space,
        resample_masks=resample_masks,
        with_baselines=baselines,
        healthy_dir=healthy_maps,
        random_seed=random_seed,
        request=flags.request(context),
    )
    raise typer.Exit(run(options))
