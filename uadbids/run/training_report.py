"""What is left of a training beside its bundle: history, curves, reconstructions."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from uadbids.bids.files import json_bytes, tsv_bytes, write_bytes
from uadbids.detection.examine import examine
from uadbids.evaluation.reference import Reference
from uadbids.model.bundle import Bundle
from uadbids.model.config import TrainConfig
from uadbids.model.vae import VAE
from uadbids.preproc.template import Template
from uadbids.reports.training import Reconstructed, draw_curves, draw_reconstructions
from uadbids.run.cohort import Member
from uadbids.training.fit import Epoch, History

SHOWN = 3
"""Held-out scans in the figure."""
COLUMNS: dict[str, dict[str, str]] = {
    "training": {"Description": "Which training: that of the bundle (final), or of a fold"},
    "kept": {"Description": "1 for the epoch whose weights were kept"},
    "step": {"Description": "Optimiser steps made at the end of the epoch"},
    "reconstruction": {
        "Description": "Weighted mean absolute error of the training inputs, over the epoch",
        "Units": "scaled intensity, 0 to 1",
    },
    "kl": {"Description": "KL divergence of the code, reduced as configured, over the epoch"},
    "beta": {"Description": "Weight of the KL divergence in the last step"},
    "active_units": {"Description": "Latent units with more than 0.01 nat on held-out scans"},
    "val_mae": {
        "Description": "Mean absolute error inside the brain of held-out scans",
        "Units": "scaled intensity, 0 to 1",
    },
    "seconds": {"Description": "Time that the epoch took", "Units": "s"},
    "learning_rate": {"Description": "Learning rate of the last step"},
    "sigma": {"Description": "Moving mean of L1 that the last step was divided by"},
}


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    label: str  # "final", or which fold
    config: TrainConfig  # with folds the last one is as long as was best for them
    model: VAE  # in evaluation mode
    history: History
    fitted: tuple[Member, ...]  # scans that were trained on
    held_out: tuple[Member, ...]

    @property
    def best(self) -> Epoch:
        """Epoch whose weights were kept."""
        return self.history.epochs[self.history.best]

    @property
    def tested(self) -> list[tuple[Member, VAE]]:
        """Scans that the model has not seen, with the model."""
        return [(member, self.model) for member in self.held_out]


def history_rows(trained: Trained) -> list[dict[str, Any]]:
    """Rows of the history, one an epoch."""
    return [
        {"training": trained.label, "kept": int(number == trained.history.best), **asdict(epoch)}
        for number, epoch in enumerate(trained.history.epochs)
    ]


def write_report(
    folder: Path,
    trained: Sequence[Trained],
    bundle: Bundle,
    healthy_maps: Reference,
    device: torch.device,
) -> None:
    """Write the history as a table and as curves, held-out scans as a figure, and their maps.

    The folder is made if need be; files of an earlier training are replaced. Mean and standard
    deviation of the maps become images on the template grid, which show where false positives are
    to be expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    histories = {item.label: history_rows(item) for item in trained}
    rows = [row for history in histories.values() for row in history]
    write_bytes(folder / "history.tsv", tsv_bytes(list(rows[0]), rows))
    meanings = {name: COLUMNS.get(name, {}) for name in rows[0]}
    write_bytes(folder / "history.json", json_bytes(meanings))
    draw_curves(histories, folder / "curves.svg")
    template = Template.packaged()
    template.save(healthy_maps.mean, folder / "healthy_mean.nii.gz")
    template.save(healthy_maps.spread, folder / "healthy_sd.nii.gz")
    threshold = bundle.calibration.threshold(bundle.card.detection.false_positive_rate)
    draw_reconstructions(
        list(_reconstructed(trained, bundle, device)),
        template.affine,
        threshold,
        folder / "reconstructions.svg",
    )


def _reconstructed(
    trained: Sequence[Trained], bundle: Bundle, device: torch.device
) -> Iterator[Reconstructed]:
    pairs = [pair for item in trained for pair in item.tested]
    for member, model in pairs[:: -(-len(pairs) // SHOWN)]:
        scan = member.load()
        crop, settings = bundle.card.crop, bundle.card.detection
        found = examine(
            scan.volume, scan.mask, model, crop, settings, device=device, reader=bundle.reader
        )
        yield Reconstructed(
            member.name, scan.volume, scan.mask, found.reconstruction, found.anomaly_map
        )
