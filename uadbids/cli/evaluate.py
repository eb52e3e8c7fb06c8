"""`uadbids evaluate MAPS_DIR MASKS_DIR OUTPUT_DIR`, or with `--pairs` for the first two."""

from pathlib import Path
from typing import Annotated

import typer

from uadbids.cli import flags
from uadbids.cli.flags import opt
from uadbids.errors import UsageError


def evaluate(
    context: typer.Context,
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="MAPS_DIR MASKS_DIR OUTPUT_DIR",
            help="Outputs of uadbids participant; BIDS dataset with lesion masks, in itself or its "
            "derivatives; where tables and page go. With --pairs: OUTPUT_DIR, and before it "
            "MAPS_DIR where the table names scans.",
        ),
    ],
    pairs: Annotated[
        Path | None,
        opt("Table (.tsv) with columns map, or scan, and mask, in the place of MASKS_DIR."),
    ] = None,
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
    from uadbids.run.evaluate_files import evaluate_files

    *given, output_dir = folders
    if len(given) != 2 if pairs is None else len(given) > 1:
        raise UsageError(
            "give MAPS_DIR MASKS_DIR OUTPUT_DIR; or --pairs FILE OUTPUT_DIR; or, where the table "
            "names scans, --pairs FILE MAPS_DIR OUTPUT_DIR"
        )
    options = EvaluateOptions(
        maps_dir=given[0] if given else Path(),
        masks_dir=given[1] if len(given) > 1 else None,
        output_dir=output_dir,
        pairs=pairs,
        mask_filters=tuple(mask_filter or ()),
        mask_values=tuple(mask_values or ()),
        space=space,
        resample_masks=resample_masks,
        with_baselines=baselines,
        healthy_dir=healthy_maps,
        random_seed=random_seed,
        request=flags.request(context),
    )
    raise typer.Exit(run(options) if given else evaluate_files(options))
