"""What a scan costs, stage by stage, beside other ways to do the same; one command, one run.

    python benchmarks/speed.py SOURCES [--only PART ...] [--hd-bet] [--figure SVG] [--vs CHECKOUT]

SOURCES holds the datasets of `SCANS`, five scans of different shape. Seconds are CPU seconds of one
thread, memory is the peak of a process that has all libraries in it. Ratios are to ours, in the
same run: the median over the scans of the seconds, and the worst scan's difference of the results.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cost_figure import ScanCost, draw_costs
from measure import Cost, machine, measured
from versus import versus

from uadbids.run.setup import prepare_environment

if TYPE_CHECKING:
    from stages import Stages

# Dataset, scan, and whether it shows nothing but brain.
SCANS = {
    "256x256x44, 0.9x3 mm": ("open-ms", "sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz", False),
    "306x384x39, 0.6x3.3 mm": ("open-ms", "sub-19/ses-1/anat/sub-19_ses-1_FLAIR.nii.gz", False),
    "256x256x70, 0.8x2.2 mm": ("isbi-ms", "sub-train02/anat/sub-train02_FLAIR.nii.gz", False),
    "110x110x87, 2 mm": ("nichart", "sub-01/anat/sub-01_FLAIR.nii.gz", False),
    "170x256x256, 1.2x1 mm": (
        "healthy-few", "sub-kirby113/anat/sub-kirby113_FLAIR.nii.gz", True
    ),
}  # fmt: skip
SPLIT_LABELS = ("20", "01")
PARTS = ("n4", "registration", "brain", "reconstruction", "nipype", "cores", "scale")


def row(*cells: object) -> None:
    """Print one line of a table, as soon as it is known."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells: object) -> None:
    """Print the head of a table."""
    print()
    row(*cells)
    print("|---" * len(cells) + "|")


def stage_table(scans: Sequence[Stages]) -> list[ScanCost]:
    """Print every stage of every scan; what the stages write is what the other parts start from."""
    header("stage, s", *SCANS, "peak memory, MB")
    costs = []
    for stage in scans[0].names:
        cost = measured(lambda one, name=stage: one.run(name) and None, [(one,) for one in scans])
        if cost.failure:
            raise SystemExit(f"{stage}: {cost.failure}")
        costs.append(cost)
        row(stage, *(f"{s:.1f}" for s in cost.seconds), f"{max(cost.memory_mb):.0f}")
    found = [
        ScanCost(
            one.voxels(), [cost.seconds[n] for cost in costs], max(c.memory_mb[n] for c in costs)
        )
        for n, one in enumerate(scans)
    ]
    memory = max(one.memory_mb for one in found)
    row("**all**", *(f"**{sum(one.seconds):.1f}**" for one in found), f"**{memory:.0f}**")
    row("million voxels", *(f"{one.voxels / 1e6:.1f}" for one in found), "")
    row("peak memory, MB", *(f"{one.memory_mb:.0f}" for one in found), "")
    return found


def compare(
    ways: dict[str, Callable[..., Any]],
    scans: Sequence[Stages],
    difference: str,
    differ: Callable[[Any, Any], float],
    worst: Callable[[Sequence[float]], float] = max,
) -> None:
    """Print ways to do one thing, each in a process of its own, the first of them ours."""
    header("way", "median seconds", "ratio", "peak memory, MB", difference)
    ours: Cost | None = None
    for name, way in ways.items():
        cost = measured(way, [(one,) for one in scans])
        if cost.failure:
            row(name, cost.failure, "", "", "")
            continue
        ours = ours or cost
        ratio = statistics.median(
            mine / theirs for mine, theirs in zip(cost.seconds, ours.seconds, strict=True)
        )
        apart = [differ(*pair) for pair in zip(cost.values, ours.values, strict=True)]
        told = "" if cost is ours else f"{worst(apart):.4g}"
        seconds = statistics.median(cost.seconds)
        row(name, f"{seconds:.2f}", f"{ratio:.2f}", f"{max(cost.memory_mb):.0f}", told)


def compare_networks(
    ways: dict[str, Any],
    run: Callable[[Any], dict[str, Any]],
    difference: str,
    differ: Callable[[Any, Any], float],
    worst: Callable[[Sequence[float]], float],
) -> None:
    """Print ways to run a network, each of which runs all scans in one process."""
    header("way", "median seconds", "ratio", "to make it ready, s", "peak memory, MB", difference)
    ours: dict[str, Any] | None = None
    for name, way in ways.items():
        cost = measured(run, [(way,)])
        if cost.failure:
            row(name, cost.failure, "", "", "", "")
            continue
        (found,) = cost.values
        ours = ours or found
        ratio = statistics.median(
            mine / theirs for mine, theirs in zip(found["seconds"], ours["seconds"], strict=True)
        )
        apart = [differ(*pair) for pair in zip(found["values"], ours["values"], strict=True)]
        told = "" if found is ours else f"{worst(apart):.4g}"
        seconds = f"{statistics.median(found['seconds']):.3f}"
        memory = f"{max(cost.memory_mb):.0f}"
        row(name, seconds, f"{ratio:.2f}", f"{found['making']:.1f}", memory, told)


def reconstruction_tables(scans: Sequence[Stages]) -> None:
    """Print the networks: dense3d in every way, the others in those that could serve."""
    import numpy as np
    from networks import RECONSTRUCTION, reconstructions

    def apart(found: np.ndarray, ours: np.ndarray) -> float:
        return float(np.abs(found - ours).max())

    for bundle in ("dense3d", "dense2d", "spatial3d", "spatial2d"):
        wanted = RECONSTRUCTION if bundle == "dense3d" else dict(list(RECONSTRUCTION.items())[:2])
        print(f"\n{bundle}:")
        compare_networks(
            wanted,
            lambda way, name=bundle: reconstructions(name, way, list(scans)),
            "largest difference of the maps",
            apart,
            max,
        )


def brain_tables(scans: Sequence[Stages], weights: Path | None) -> None:
    """Print deepbet in every way, and HD-BET if asked for, on the scans that have a skull."""
    from alternatives import dice
    from networks import BRAIN, brains

    with_skull = [one for one in scans if one.method == "deepbet"]
    compare_networks(BRAIN, lambda way: brains(way, with_skull), "least Dice with ours", dice, min)
    if weights is not None:
        from hd_bet import hd_bet

        cost = measured(hd_bet, [(with_skull[0], weights)])
        told = cost.failure or f"{cost.seconds[0]:.0f} s, {cost.memory_mb[0]:.0f} MB"
        print(f"\nHD-BET, a network of its kind with random weights, the first scan: {told}")


def nipype_table(scratch: Path) -> None:
    """Print what nipype adds."""
    from engines import overheads

    header("steps are run by", "added to a scan, s")
    for name, seconds in overheads(scratch).items():
        row(name, f"{seconds:.2f}")


def cores_table(bids_dir: Path, scratch: Path) -> None:
    """Print processes against threads."""
    from engines import split

    header("way", "wall, s", "ratio", "CPU, s", "peak memory, MB")
    costs = split(bids_dir, SPLIT_LABELS, scratch)
    first = next(iter(costs.values()))
    for name, cost in costs.items():
        wall, ratio = f"{cost.seconds:.0f}", f"{cost.seconds / first.seconds:.2f}"
        memory = f"{cost.memory_mb:.0f}"
        row(name, wall, ratio, f"{cost.cpu_seconds:.0f}", memory)


def scale_part(costs: Sequence[ScanCost], number: int, figure: Path | None) -> None:
    """Print what grows with a study, and draw it beside what grows with a scan."""
    import scale

    found = scale.main(number)
    if figure is not None:
        draw_costs(costs, scale.numbers(number), found, figure)


def run(args: argparse.Namespace, scratch: Path) -> None:
    """Print the parts that are wanted."""
    sources, weights = args.sources.resolve(), scratch / "weights" if args.hd_bet else None
    # ANTs, ITK and torch take their threads and seeds from it when they are imported.
    prepare_environment(scratch, random_seed=20210301, threads=1)
    import alternatives as other
    from stages import Stages

    scans = [
        Stages(sources / dataset / path, stripped, scratch / str(number))
        for number, (dataset, path, stripped) in enumerate(SCANS.values())
    ]
    print(f"{machine()}; CPU seconds of one thread")
    # The other parts start from what the stages wrote.
    costs = stage_table(scans)
    share, apart = "largest difference, per cent", "largest distance, mm"
    todo: dict[str, Callable[[], None]] = {
        "n4": lambda: compare(other.N4, scans, share, other.largest_share),
        "registration": lambda: compare(other.REGISTRATION, scans, apart, other.largest_distance),
        "brain": lambda: brain_tables(scans, weights),
        "reconstruction": lambda: reconstruction_tables(scans),
        "nipype": lambda: nipype_table(scratch),
        "cores": lambda: cores_table(sources / "open-ms", scratch),
        "scale": lambda: scale_part(costs, args.scans, args.figure),
    }
    for name, body in todo.items():
        if name in args.only:
            print(f"\n## {name}")
            body()


def main() -> None:
    """Parse, and clean up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--hd-bet", action="store_true", help="also HD-BET, some minutes more")
    parser.add_argument("--scans", type=int, default=1000, help="size of the study of 'scale'")
    parser.add_argument("--figure", type=Path, help="SVG file of costs against size")
    parser.add_argument(
        "--vs", type=Path, help="only open-ms, by this older checkout and by the one at hand"
    )
    args = parser.parse_args()
    if args.vs:
        print(f"{machine()}; CPU seconds of one thread")
        versus(args.sources / "open-ms", args.vs, Path(__file__).parents[1])
        return
    with TemporaryDirectory() as folder:
        run(args, Path(folder))


if __name__ == "__main__":
    main()
