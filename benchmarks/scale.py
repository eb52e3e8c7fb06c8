"""What grows with a study: finding scans, the plan, graphs, the group level; links to one scan.

``python benchmarks/scale.py [--scans 1000]``. The packaged scan, its outputs and its sidecar are
linked under as many made-up participants as are wanted. Each number is of a process of its own.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from typing import NamedTuple

from measure import machine, measured, watched

import uadbids
from uadbids.bids.query import find_scans
from uadbids.run.setup import prepare_environment

EXAMPLE = Path(uadbids.__file__).parent / "data" / "example"
NAME, FOLDER = "sub-20_ses-2", "sub-20/ses-2"
STUDY_FILES = ("dataset_description.json", "tpl-UADBIDS", "code")


class Growth(NamedTuple):
    """Seconds and MB of one part of the work, for each number of scans."""

    seconds: list[float]
    memory_mb: list[float]


def make_dataset(root: Path, subjects: int) -> Path:
    """Link the packaged scan under made-up participants."""
    root.mkdir(parents=True)
    shutil.copy(EXAMPLE / "dataset_description.json", root)
    (image,) = EXAMPLE.glob(f"{FOLDER}/anat/*.nii.gz")
    for number in range(subjects):
        stem = root / f"sub-{number:05d}" / "anat" / f"sub-{number:05d}_FLAIR"
        stem.parent.mkdir(parents=True)
        stem.with_name(f"{stem.name}.nii.gz").symlink_to(image)
        shutil.copy(str(image).replace(".nii.gz", ".json"), stem.with_name(f"{stem.name}.json"))
    return root


def make_outputs(root: Path, finished: Path, subjects: int) -> Path:
    """Link the outputs of the packaged scan under made-up participants."""
    root.mkdir()
    for name in STUDY_FILES:
        (root / name).symlink_to(finished / name)
    files = [path for path in (finished / "sub-20").rglob("*") if path.is_file()]
    for number in range(subjects):
        label = f"sub-{number:05d}"
        for path in files:
            target = root / _renamed(str(path.relative_to(finished)), label)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".json":
                target.write_text(_renamed(path.read_text(), label))
            else:
                target.symlink_to(path)
    return root


def _renamed(text: str, label: str) -> str:
    return text.replace(NAME, label).replace(FOLDER, label).replace("sub-20/", f"{label}/")


def build_graphs(bids_dir: Path, out: Path, work: Path) -> int:
    """Build the graphs of a study in batches, as a run does, up to what nipype would execute."""
    from nipype.pipeline.engine.utils import generate_expanded_graph

    from uadbids.model.bundle import find_bundle, read_card
    from uadbids.pipeline.records import DeriveOptions, DetectOptions
    from uadbids.preproc.config import PreprocConfig
    from uadbids.run.examine import BATCH
    from uadbids.run.options import Examination, RunOptions
    from uadbids.run.scheduler.graph import init_scans_wf

    bundle, run = find_bundle("dense3d"), RunOptions(work_dir=work)
    detect = DetectOptions(bundle, read_card(bundle).identity)
    derive = DeriveOptions(out, bundle, ("orig", "template"))
    plan = Examination(bids_dir, run, run.preprocess(PreprocConfig()), detect, derive)
    scans = find_scans(bids_dir)
    nodes = 0
    for start in range(0, len(scans), BATCH):
        batch = [(scan, None) for scan in scans[start : start + BATCH]]
        graph = init_scans_wf(batch, plan)
        nodes += len(generate_expanded_graph(graph._create_flat_graph()).nodes())
    return nodes


def growth(counts: list[int], scratch: Path) -> dict[str, Growth]:
    """Measure every part for every number of scans; print how large a work directory is."""
    command = (sys.executable, "-m", "uadbids")
    finished, work = scratch / "finished", scratch / "finished_work"
    run = (*command, EXAMPLE, finished, "participant", "--nprocs", 1, "-w", work)
    if watched(run).status != 0:
        raise SystemExit("the packaged scan could not be examined")
    size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    again = watched((*run, "--clean-workdir"))
    left = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    print(
        f"work directory of a scan: {size / 1e6:.0f} MB, with --clean-workdir {left / 1e6:.1f} MB "
        f"(status {again.status})"
    )
    found: dict[str, Growth] = {}

    def take(part: str, seconds: float, memory_mb: float) -> None:
        row = found.setdefault(part, Growth([], []))
        row.seconds.append(seconds)
        row.memory_mb.append(memory_mb)

    for number in counts:
        dataset = make_dataset(scratch / f"raw{number}", number)
        outputs = make_outputs(scratch / f"out{number}", finished, number)
        cost = measured(find_scans, [(dataset,)])
        take("finding the scans", cost.seconds[0], cost.memory_mb[0])
        plan = watched((*command, dataset, scratch / "none", "participant", "--dry-run"),
                       every=0.05, stdout=DEVNULL)  # fmt: skip
        take("--dry-run, the command", plan.cpu_seconds, plan.memory_mb)
        cost = measured(build_graphs, [(dataset, scratch / "none", scratch / "w")])
        take("graphs, batch by batch", cost.seconds[0], cost.memory_mb[0])
        told = watched((*command, dataset, outputs, "group"), every=0.05, stderr=DEVNULL)
        take("group, the command", told.cpu_seconds, told.memory_mb)
        table = (outputs / "group_FLAIR.tsv").read_text().splitlines()
        if plan.status or told.status or len(table) != number + 1:
            raise SystemExit(f"{number} scans: the plan or the group level failed")
        for folder in (dataset, outputs):
            shutil.rmtree(folder)
    return found


def numbers(scans: int) -> list[int]:
    """Return an eighth, a quarter, a half and all of a number of scans."""
    return [scans // part for part in (8, 4, 2, 1)]


def table(counts: list[int], found: dict[str, Growth]) -> None:
    """Print seconds and memory against the number of scans."""
    print("\n| CPU s / peak MB | " + " | ".join(f"{n} scans" for n in counts) + " |")
    print("|---" * (len(counts) + 1) + "|")
    for part, grown in found.items():
        cells = (f"{s:.1f} / {m:.0f}" for s, m in zip(*grown, strict=True))
        print(f"| {part} | {' | '.join(cells)} |")


def main(scans: int) -> dict[str, Growth]:
    """Measure up to a number of scans, and print."""
    with TemporaryDirectory() as folder:
        prepare_environment(Path(folder), random_seed=20210301, threads=1)
        found = growth(numbers(scans), Path(folder))
    table(numbers(scans), found)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=1000)
    print(machine())
    main(parser.parse_args().scans)
