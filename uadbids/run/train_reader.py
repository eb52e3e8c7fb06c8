"""Train a reader on, with the scans of a cohort and the VAE that has learnt from them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from uadbids.bids.files import file_sha256, write_bytes
from uadbids.model.bundle import Bundle
from uadbids.model.card import ReaderCard
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader
from uadbids.model.vae import VAE
from uadbids.model.weights import half_precision
from uadbids.run.cohort import Member
from uadbids.run.runlog import say
from uadbids.training.reader_fit import fit_reader
from uadbids.training.reader_pack import write_pack_of
from uadbids.training.reader_samples import ReaderSample, SampleConfig
from uadbids.training.reader_settings import ReaderEpoch, ReaderTraining, summed
from uadbids.training.reader_workers import MakerFiles, samples_from
from uadbids.training.samples import Sample


@dataclass(frozen=True)
class ReaderOptions:
    """How a reader is trained on with a cohort."""

    pack: Path  # what samples are painted from (`reader_pack`)
    steps: int  # of the optimiser
    depth: int = SampleConfig().depth  # axial slices of a sample

    def settings(self, seed: int) -> ReaderTraining:
        """Return the settings of a training that goes on from a trained reader."""
        return ReaderTraining(
            steps=self.steps,
            epoch_steps=min(ReaderTraining().epoch_steps, self.steps),
            learning_rate=1e-3,
            # Batches of few painted samples are unlike scans: what is normal was learnt before.
            frozen_from=0.0,
            seed=seed,
        )


def train_reader(
    lender: Bundle,
    model: VAE,
    crop: Crop,
    members: Sequence[Member],
    options: ReaderOptions,
    stem: Path,
    *,
    seed: int,
    workers: int,
    device: torch.device,
    resume: bool,
    console: Console,
) -> tuple[Reader, ReaderCard]:
    """Go on from the reader of a bundle; the reader, on the device, and what its card says.

    Lesions are painted into the scans of the members, which the model was trained on, beside the
    heads and slices of the pack. The model is in evaluation mode and sees the crop. `stem` begins
    the names of files in the work directory; a checkpoint there is continued, unless it shall not
    be resumed.

    UsageError if the pack is none, or the checkpoint is of another training; KeyboardInterrupt
    after the checkpoint was written.
    """
    if lender.reader is None or lender.card.reader is None:
        raise ValueError("The bundle has no reader.")

    def scans_on(grid: Crop) -> list[Sample]:
        return [member.load().sample(grid) for member in members]

    pack, vae, checkpoint = (
        stem.with_name(f"{stem.name}_{kind}")
        for kind in ("reader-pack.npz.xz", "vae.safetensors", "reader.pt")
    )
    if not resume:
        checkpoint.unlink(missing_ok=True)
    say(console, f"the reader is trained on, with lesions painted into {len(members)} scans")
    write_pack_of(options.pack, scans_on, pack)
    write_bytes(vae, half_precision(model, vae))
    settings, samples = options.settings(seed), SampleConfig(depth=options.depth)
    maker = MakerFiles(pack, vae, model.config, crop, samples, f"{seed}", str(device))
    reader = Reader(lender.card.reader.config)
    reader.load_state_dict(lender.reader.state_dict())

    def supply(first: int) -> AbstractContextManager[Iterator[ReaderSample]]:
        return samples_from(maker, first, workers)

    def tell(epoch: ReaderEpoch) -> None:
        say(console, f"reader, step {epoch.step}/{settings.steps}  cross-entropy "
                     f"{epoch.cross_entropy:.4f}  Dice loss {epoch.dice:.3f}")  # fmt: skip

    identity = {
        "pack": file_sha256(pack),
        "vae": file_sha256(vae),
        "start": lender.card.reader.sha256,
        "depth": options.depth,
    }
    epochs = fit_reader(
        reader, supply, [], settings, device=device, identity=identity,
        checkpoint=checkpoint, on_epoch=tell,
    )  # fmt: skip
    # The checkpoint goes on without them; they can be made again.
    for file in (pack, vae):
        file.unlink()
    return reader, _card(lender.card.reader, lender.card.name, epochs[-1], settings, len(members))


def _card(
    past: ReaderCard, lender: str, last: ReaderEpoch, settings: ReaderTraining, scans: int
) -> ReaderCard:
    """Say of a reader where it started and what it was trained on since."""
    training = {
        **past.training,
        **summed(past.training, last),
        "trained_on_from": lender,
        "trained_on_with": f"{last.samples} samples, {scans} scans of this model's cohort",
        "settings": asdict(settings),
    }
    return replace(past, training=training, sha256="")
