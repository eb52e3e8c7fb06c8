"""Train the packaged reader: pack its sources, train on a CPU or a GPU, put it into bundles.

``pack LABELS PRIORS WORK COHORT PACK`` writes what samples are made from into one file,
``fit PACK BUNDLE OUT`` trains (torch, numpy, scipy and safetensors suffice there), ``bundle OUT
BUNDLES...`` adds the reader to bundles, ``lend BUNDLE BUNDLES...`` that of a bundle to others.
README.md beside this file says more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from uadbids.errors import UadbidsError
from uadbids.model.bundle import load_bundle, save_bundle
from uadbids.model.card import ReaderCard
from uadbids.model.config import ReaderConfig
from uadbids.model.inference import resolve_device
from uadbids.model.reader import Reader
from uadbids.model.weights import half_precision
from uadbids.training.lesion_painting import PaintingConfig
from uadbids.training.lesion_shapes import SmallShapes
from uadbids.training.reader_fit import fit_reader
from uadbids.training.reader_pack import PACKED, write_pack
from uadbids.training.reader_samples import ReaderSample, SampleConfig
from uadbids.training.reader_settings import ReaderEpoch, ReaderTraining, summed
from uadbids.training.reader_workers import MakerFiles, samples_from

WEIGHTS, RECORD, CHECKPOINT = "reader.safetensors", "reader.json", "reader.pt"
ABOUT = Path(__file__).with_name("reader_about.json")
"""What cards say of the sources."""
VALIDATION = SampleConfig(
    # Fainter lesions, and of other shapes than most that are trained on.
    painting=PaintingConfig(contrast=0.25, spread=0.3, shapes=SmallShapes(real=0.0, radius=1.8))
)
"""How samples are painted that nobody trains on."""
VALIDATION_SAMPLES = 12
PARTS = ("steps", "volumes", "minutes")
"""What a training that goes on from a bundle's reader adds to."""
OWN = ("packed", "bundle", "out", "device", "workers", "validation", "start")
"""Options of ``fit`` that are no settings of the training itself."""


def pack(labels: Path, priors: Path, work: Path, cohort: Path, folder: Path) -> None:
    """Gather the sources into one file."""
    import reader_sources as sources

    arrays = {
        **sources.heads(labels),
        **sources.scans(work, cohort),
        **sources.slices(priors / "soop_midaxial_uint8.npz"),
        **sources.places(priors / "ms-lesions"),
        **sources.strokes(priors / "lesion-shapes"),
    }
    write_pack(arrays, folder / PACKED)
    size = (folder / PACKED).stat().st_size / 1e6
    numbers = ", ".join(f"{len(arrays[k])} {k}" for k in ("heads", "scans", "slices", "strokes"))
    print(f"{numbers}: {folder / PACKED}, {size:.1f} MB")


def fit(
    packed: Path, bundle: Path, out: Path, config: ReaderTraining, network: ReaderConfig,
    *, device: str, workers: int, samples: SampleConfig, validation: int, start: Path | None = None,
) -> None:  # fmt: skip
    """Train, or go on with a training; write weights and record."""
    place = resolve_device(device)
    file = packed / PACKED
    vae = load_bundle(bundle, device="cpu").card
    weights = bundle / "weights.safetensors"
    makers = partial(MakerFiles, file, weights, vae.config, vae.crop, device=str(place))
    identity = {
        "samples": json.loads(json.dumps(asdict(samples))),
        "pack": _digest(file),
        "vae": _digest(weights),
        "start": _digest(start / WEIGHTS) if start else None,
    }
    record = out / RECORD
    if record.is_file():
        print(f"{record}: kept, the training is finished", flush=True)
        return

    def supply(first: int) -> AbstractContextManager[Any]:
        return samples_from(makers(config=samples, seed=f"{config.seed}"), first, workers)

    held = replace(VALIDATION, depth=samples.depth)
    maker = makers(config=held, seed=f"validation of {config.seed}")
    painted = _validation(maker, validation, workers)
    torch.manual_seed(config.seed)
    model = Reader(network)
    past: dict[str, Any] = {}
    if start:
        trained = load((start / WEIGHTS).read_bytes())
        model.load_state_dict({name: tensor.float() for name, tensor in trained.items()})
        past = json.loads((start / "card.json").read_text())["reader"]["training"]
    epochs = fit_reader(
        model, supply, painted, config, device=place, identity=identity,
        checkpoint=out / CHECKPOINT, on_epoch=_show,
    )  # fmt: skip
    _write(out / WEIGHTS, half_precision(model, out / WEIGHTS))
    about = {
        **identity,
        "training": asdict(config),
        "model": asdict(network),
        "epochs": [asdict(epoch) for epoch in epochs],
        "past": {name: past.get(name, 0) for name in PARTS},
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else "CPU",
    }
    # Last: it says that the training is finished.
    _write(record, json.dumps(about, indent=1).encode())


def _validation(maker: MakerFiles, count: int, workers: int) -> list[ReaderSample]:
    if not count:
        return []
    # On the CPU, whose draws are the same on every machine.
    with samples_from(replace(maker, device="cpu"), 0, min(workers, count)) as made:
        return list(islice(made, count))


def _show(epoch: ReaderEpoch) -> None:
    print(*(f"{key} {value:.5g}" for key, value in asdict(epoch).items()), flush=True)


def bundle(
    out: Path, folders: Sequence[Path], mean_with: Path | None = None, share: float = 1.0
) -> None:
    """Put the reader of a finished training into bundles, which keep all else.

    `mean_with` is the bundle that the training started from: of the new weights that share is then
    taken, and the rest of those before.
    """
    record = json.loads((out / RECORD).read_text())
    shape = record["model"] | {"widths": tuple(record["model"]["widths"])}
    network = ReaderConfig(**shape)
    weights = load((out / WEIGHTS).read_bytes())
    if mean_with:
        before = load((mean_with / WEIGHTS).read_bytes())
        weights = {n: torch.lerp(before[n].float(), w.float(), share) for n, w in weights.items()}
    training = {
        **json.loads(ABOUT.read_text()),
        **summed(record["past"], ReaderEpoch(**record["epochs"][-1])),
        "device": record["device"],
        "settings": record["training"],
        "pack": record["pack"],
        **({"mean_with": _digest(mean_with / WEIGHTS), "share": share} if mean_with else {}),
    }
    for folder in folders:
        reader = Reader(network)
        reader.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        found = load_bundle(folder, device="cpu")
        card = replace(found.card, reader=ReaderCard(network, training))
        save_bundle(replace(found, card=card, reader=reader.eval()), folder)
        print(f"{folder}: has the reader of {training['steps']} steps", flush=True)


def lend(lender: Path, folders: Sequence[Path]) -> None:
    """Give bundles the reader of another, and its settings of detection; calibrate them then."""
    found = load_bundle(lender, device="cpu")
    training = {**found.card.reader.training, "taken_from": found.card.name}
    reader = replace(found.card.reader, training=training)
    for folder in folders:
        own = load_bundle(folder, device="cpu")
        card = replace(own.card, reader=reader, detection=found.card.detection)
        save_bundle(replace(own, card=card, reader=found.reader), folder)
        print(f"{folder}: has the reader of {found.card.name}", flush=True)


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    whole = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = whole.add_subparsers(required=True, dest="kind")
    folders = {
        "pack": ("labels", "priors", "work", "cohort", "folder"),
        "fit": ("packed", "bundle", "out"),
        "bundle": ("out",),
        "lend": ("lender",),
    }
    parts = {kind: kinds.add_parser(kind) for kind in folders}
    for kind, names in folders.items():
        for name in names:
            parts[kind].add_argument(name, type=Path)
    for kind in ("bundle", "lend"):
        parts[kind].add_argument("folders", type=Path, nargs="+")
    parts["bundle"].add_argument(
        "--mean-with", type=Path, help="bundle whose reader the new weights are averaged with"
    )
    parts["bundle"].add_argument("--share", type=float, default=1.0, help="of the new weights")
    options, usual = parts["fit"], ReaderTraining()
    options.add_argument("--steps", type=int, default=usual.steps)
    options.add_argument("--minutes", type=float, help="end after so long, if before the last step")
    options.add_argument("--epoch-steps", type=int, default=usual.epoch_steps)
    options.add_argument("--batch-size", type=int, default=usual.batch_size)
    options.add_argument("--repeated", type=int, default=usual.repeated)
    options.add_argument(
        "--kept", type=int, default=usual.kept, help="samples in memory, 40 MB each"
    )
    options.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    options.add_argument(
        "--frozen-from", type=float, default=usual.frozen_from,
        help="part of the training after which batch normalisation keeps its statistics",
    )  # fmt: skip
    options.add_argument("--start", type=Path, help="folder of a bundle whose reader goes on")
    options.add_argument(
        "--validation", type=int, default=VALIDATION_SAMPLES, help="samples nobody trains on"
    )
    options.add_argument("--seed", type=int, default=usual.seed)
    options.add_argument(
        "--depth", type=int, default=SampleConfig().depth, help="slices of a sample"
    )
    options.add_argument("--device", default="auto")
    options.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    return whole


def main() -> None:
    """Do what the command line says; errors and stops are one sentence."""
    args = vars(parser().parse_args())
    kind = args.pop("kind")
    try:
        if kind == "pack":
            pack(**args)
        elif kind == "bundle":
            bundle(**args)
        elif kind == "lend":
            lend(**args)
        else:
            own = {name: args.pop(name) for name in OWN}
            samples = SampleConfig(depth=args.pop("depth"))
            few = min(ReaderTraining().few, args["kept"])
            config = ReaderTraining(**args, few=max(1, few))
            fit(config=config, network=ReaderConfig(), samples=samples, **own)
    except (UadbidsError, KeyboardInterrupt) as error:
        sys.exit(str(error) or "stopped")


if __name__ == "__main__":
    main()
