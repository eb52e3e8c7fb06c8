"""Train the packaged models on a machine that has a GPU and torch, and little else.

``pack WORK COHORT PACK`` at home writes the tensors that the models train on into one file, ``fit
PACK OUT`` there trains with torch, numpy, scipy and safetensors alone, ``bundle WORK COHORT OUT
BUNDLES`` at home calibrates. What is finished is kept. README.md beside this file tells more.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load, save

from uadbids.errors import UadbidsError
from uadbids.model.config import MODELS, TrainConfig, VAEConfig
from uadbids.model.vae import VAE
from uadbids.training.checkpoint import load_checkpoint, save_checkpoint
from uadbids.training.fit import Epoch, fit
from uadbids.training.samples import Sample, fingerprint

if TYPE_CHECKING:
    from uadbids.run.cohort import Member

PACKED = "samples.npz"
CHOSEN = ("steps", "epoch_steps", "batch_size", "seed")
"""Settings of a training that differ from the defaults of `TrainConfig`."""


class Samples(NamedTuple):
    """Who is trained on, who is held out, and the seed of it all."""

    train: list[Sample]
    held_out: list[Sample]
    seed: int


def pack(work: Path, cohort: Path, folder: Path) -> None:
    """Preprocess the cohort, or take what `uadbids train` kept of it, and write its tensors."""
    from uadbids.cli.flags import DEFAULT_SEED

    members = ready_members(work, cohort)
    from uadbids.run.train import CROP

    samples = [member.load().sample(CROP) for member in members]
    labels = (cohort / "held_out.txt").read_text().split()
    content = packed(samples, [member.subject for member in members], labels, DEFAULT_SEED)
    _write(folder / PACKED, content)
    print(f"{len(samples)} scans: {folder / PACKED}, {len(content) / 1e6:.1f} MB")


def ready_members(work: Path, cohort: Path) -> list[Member]:
    """Preprocess the cohort as `uadbids train` does; what is there is kept."""
    from uadbids.cli.flags import DEFAULT_SEED
    from uadbids.run.options import RunOptions
    from uadbids.run.setup import prepare_run

    asked = RunOptions(work, device="auto", nprocs=0, random_seed=DEFAULT_SEED)
    run = prepare_run(asked, cohort)
    # nipype reads its settings when it is imported: not before the line above made them.
    from rich.console import Console

    from uadbids.preproc.config import PreprocConfig
    from uadbids.run.cohort import CohortOptions, find_cohort, make_ready, plan_cohort

    root = cohort.absolute()
    wanted = CohortOptions(root, None, root / "derivatives" / "lesions", True)
    plan = plan_cohort(find_cohort(wanted), wanted, PreprocConfig(), run)
    make_ready(plan, run, Console(stderr=True))
    return [member for member in plan if member.path.is_file()]


def packed(
    samples: Sequence[Sample], subjects: Sequence[str], labels: Sequence[str], seed: int
) -> bytes:
    """Archive of samples, in their order; `labels` are the subjects held out."""
    volumes, masks, weights = (np.stack(part) for part in zip(*samples, strict=True))
    # Differences between neighbours, modulo 256, take less room than the values.
    for axis in (1, 3):
        volumes = np.diff(volumes, axis=axis, prepend=np.uint8(0))
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        volume=volumes,
        mask=np.packbits(masks),
        weight=np.packbits(weights),
        subject=np.array(subjects),
        held_out=np.isin(subjects, labels),
        seed=np.array(seed),
    )
    return stream.getvalue()


def unpacked(path: Path) -> Samples:
    """Read what `packed` made, every bit of it."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    volumes = arrays["volume"]
    for axis in (3, 1):
        volumes = np.cumsum(volumes, axis=axis, dtype=np.uint8)
    masks, weights = (
        np.unpackbits(arrays[name], count=volumes.size).astype(bool).reshape(volumes.shape)
        for name in ("mask", "weight")
    )
    parts: dict[bool, list[Sample]] = {False: [], True: []}
    for held_out, *three in zip(arrays["held_out"], volumes, masks, weights, strict=True):
        parts[bool(held_out)].append(Sample(*map(torch.from_numpy, three)))
    return Samples(parts[False], parts[True], int(arrays["seed"]))


def fit_model(
    network: VAEConfig, samples: Samples, config: TrainConfig, files: tuple[Path, Path], device: str
) -> None:
    """Train as `uadbids train` does; write `record` (JSON) and the weights beside it."""
    record, checkpoint = files
    data = [fingerprint(samples.train), fingerprint(samples.held_out)]
    name, told = record.stem, {"config": _plain(config), "data": data}
    if record.is_file():
        known = json.loads(record.read_text())
        if {key: known[key] for key in told} != told:
            sys.exit(f"{record}: of other settings or scans; move it away, or change OUT")
        print(f"{name}: kept", flush=True)
        return

    def tell(epoch: Epoch) -> None:
        print(name, *(f"{key} {value:.5g}" for key, value in asdict(epoch).items()), flush=True)

    torch.manual_seed(config.seed)
    model, parts = VAE(network), (samples.train, samples.held_out)
    fit(model, *parts, config, device=device, checkpoint=checkpoint, on_epoch=tell, on_note=print)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state"]
    del state["model"], state["best_weights"]
    # Adam's moments are twice the model and no longer needed.
    state["optimiser"]["state"] = {}
    halves = {key: t.cpu().half().contiguous() for key, t in model.state_dict().items()}
    _write(record.with_suffix(".safetensors"), save(halves))
    # Last: it says that the model is finished.
    _write(record, json.dumps({**told, "state": state}, indent=1).encode())


def restore_checkpoint(network: VAEConfig, record: Path, checkpoint: Path) -> TrainConfig:
    """Make the checkpoint of a finished training from what came back of it.

    `uadbids train` then has no step left to make: it compares the scans, bit for bit, calibrates
    and writes the bundle.
    """
    told = json.loads(record.read_text())
    config = TrainConfig(**{key: told["config"][key] for key in CHOSEN})
    if _plain(config) != told["config"]:
        sys.exit(f"{record}: trained by another version of this repository; train again")
    identity = {"model": asdict(network), "training": asdict(config), "data": told["data"]}
    if checkpoint.exists():
        # Refuses to replace that of another training.
        load_checkpoint(checkpoint, identity)
    halves = load(record.with_suffix(".safetensors").read_bytes())
    weights = {key: tensor.float() for key, tensor in halves.items()}
    state = {**told["state"], "model": weights, "best_weights": weights}
    save_checkpoint(checkpoint, identity, state)
    return config


def bundle(work: Path, cohort: Path, out: Path, bundles: Path, about: Path) -> None:
    """Calibrate the models that came back and write their bundles; those there are kept."""
    from make_bundles import run

    held_out = (cohort / "held_out.txt").read_text().split()
    for name, network in MODELS.items():
        record = out / f"{name}.json"
        if not record.is_file() or (bundles / name / "card.json").is_file():
            continue
        config = restore_checkpoint(network, record, work / f"{name}.pt")
        run(
            "uadbids", "train", cohort, bundles, "--model", name,
            "--lesion-masks", cohort / "derivatives" / "lesions", "--exclude-hyperintense",
            "--validation-label", *held_out, "--about", about,
            "--steps", config.steps, "--epoch-steps", config.epoch_steps,
            "--batch-size", config.batch_size, "--random-seed", config.seed, "--work-dir", work,
        )  # fmt: skip


def _plain(config: TrainConfig) -> Any:
    """Return what JSON makes of settings."""
    return json.loads(json.dumps(asdict(config)))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _fit(pack: Path, out: Path, models: Sequence[str], device: str, **settings: Any) -> None:
    samples = unpacked(pack / PACKED)
    checkpoints = settings.pop("checkpoints") or out / "checkpoints"
    settings["epoch_steps"] = min(settings["steps"], settings["epoch_steps"])
    config = TrainConfig(**settings, seed=samples.seed)
    for name in models:
        files = out / f"{name}.json", checkpoints / f"{name}.pt"
        fit_model(MODELS[name], samples, config, files, device)


def main() -> None:
    """Do what the command line says; errors and stops are one sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(required=True)
    folders = {
        pack: ("work", "cohort", "folder"),
        _fit: ("pack", "out"),
        bundle: ("work", "cohort", "out", "bundles"),
    }
    for kind, names in folders.items():
        one = kinds.add_parser(kind.__name__.strip("_"))
        one.set_defaults(do=kind)
        for name in names:
            one.add_argument(name, type=Path)
    trains = kinds.choices["fit"]
    trains.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    for flag, number in (("--steps", 3000), ("--epoch-steps", 250), ("--batch-size", 1)):
        trains.add_argument(flag, type=int, default=number)
    trains.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    trains.add_argument("--checkpoints", type=Path, help="default: OUT/checkpoints")
    about = Path(__file__).parent / "about.json"
    kinds.choices["bundle"].add_argument("--about", type=Path, default=about)
    args = vars(parser.parse_args())
    do = args.pop("do")
    try:
        do(**args)
    except (UadbidsError, KeyboardInterrupt) as error:
        sys.exit(str(error) or 130)


if __name__ == "__main__":
    main()
