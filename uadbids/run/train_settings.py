"""What `train` was asked for: from flags to settings, checked."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Never, get_args

from uadbids.errors import UsageError
from uadbids.model.bundle import CARD_FILE, refuse_foreign, verify_bundle
from uadbids.model.card import NAME
from uadbids.model.config import MODELS, Reduction, TrainConfig, VAEConfig
from uadbids.run.cohort import CohortOptions
from uadbids.run.options import RunOptions
from uadbids.run.runlog import NO_REQUEST, Request
from uadbids.run.setup import check_writable, is_inside
from uadbids.run.train_reader import ReaderOptions
from uadbids.training.reader_pack import read_pack
from uadbids.training.split import SplitOptions

_PERIOD = TrainConfig.period
_LONGEST_EPOCH = 250


@dataclass(frozen=True)
class TrainOptions:
    """What `train` was asked for."""

    output_dir: Path  # for the bundle, ``<name>``, and its report, ``<name>-training``
    name: str  # of the bundle
    cohort: CohortOptions  # which scans
    split: SplitOptions  # who is held out
    network: VAEConfig
    config: TrainConfig  # steps, seed and so on
    run: RunOptions  # how to preprocess, and on which device to train
    about: Mapping[str, Any]  # what the card shall say: sources, license, limits
    reader: Path | None = None  # bundle whose reader the new one gets
    reader_training: ReaderOptions | None = None  # how that is trained on; None: it is not
    resume: bool = True  # go on from the checkpoints of an earlier run
    request: Request = NO_REQUEST

    @property
    def bundle_dir(self) -> Path:
        """Folder of the bundle."""
        return self.output_dir / self.name

    @property
    def report_dir(self) -> Path:
        """Folder of the report."""
        return self.output_dir / f"{self.name}-training"

    def check(self, *, is_dry: bool = False) -> None:
        """Refuse before hours of training what would fail at their end; a dry run makes no folder.

        UsageError for a name that is none, an output folder inside the dataset or that cannot be
        written, or a report that would go into another bundle; BundleError when other things than
        a bundle lie where the bundle is to go, or the bundle of the reader is damaged; UsageError
        for a pack of the reader's training that is none.
        """
        if not NAME.fullmatch(self.name):
            raise UsageError(f"--name {self.name!r}: give letters, digits, '.', '_' and '-'")
        if is_inside(self.output_dir, self.cohort.bids_dir):
            raise UsageError(f"the output folder {self.output_dir} lies inside the dataset")
        refuse_foreign(self.bundle_dir)
        if self.reader is not None and verify_bundle(self.reader).reader is None:
            raise UsageError(
                f"--reader {self.reader.name}: this model has no reader; give another, or none"
            )
        if self.reader_training is not None:
            if self.reader is None:
                raise UsageError("--reader-pack goes on from a reader; leave out --reader none")
            if self.split.folds:
                # It would have seen all that the threshold comes from.
                raise UsageError("--reader-pack needs participants held out; leave out --folds")
            read_pack(self.reader_training.pack)
        if (self.report_dir / CARD_FILE).exists():
            raise UsageError(
                f"{self.report_dir}, where the report is to go, holds a model bundle; give "
                "another --name"
            )
        for folder in (self.output_dir, self.report_dir):
            _make_writable(folder, is_dry=is_dry)


def _make_writable(folder: Path, *, is_dry: bool) -> None:
    try:
        if is_dry:
            check_writable(folder)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"the output folder {folder} cannot be written ({error.strerror}); give another"
        ) from error


def read_about(path: Path | None) -> dict[str, Any]:
    """Read what the card shall say; UsageError when the file is no JSON object."""
    if path is None:
        return {}
    try:
        about = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(about, dict):
        raise UsageError(f"{path}: a JSON object is needed")
    if not isinstance(about.get("limits", []), list):
        raise UsageError(f"{path}: 'limits' must be a list of sentences")
    return about


def _refuse_constant(name: str) -> Never:
    # Python reads it, but a card is strict JSON.
    raise ValueError(f"{name} is no value of JSON")


def train_config(
    *, steps: int, epoch_steps: int | None = None, augment: bool, **settings: Any
) -> TrainConfig:
    """Return the settings of a training; UsageError when they contradict each other.

    Without `epoch_steps`, the steps between two validations are as many as divide `steps`, at most
    250; without `augment`, scans are neither varied nor corrupted. Other settings are fields of
    `TrainConfig`.
    """
    reductions = get_args(Reduction)
    if settings.get("kl_reduction", reductions[0]) not in reductions:
        raise UsageError(f"--kl-reduction: choose one of {', '.join(reductions)}")
    epoch_steps = _epoch_steps(steps, epoch_steps)
    try:
        config = TrainConfig(steps=steps, epoch_steps=epoch_steps, **settings)
    except ValueError as error:
        raise UsageError(f"the training cannot be set up like this: {error}") from error
    return config if augment else replace(config, augment=None)


def _epoch_steps(steps: int, wanted: int | None) -> int:
    """Return the length of an epoch; validation must fall on ends of periods."""
    if steps < 1 or steps % _PERIOD:
        raise UsageError(f"--steps {steps}: give a multiple of {_PERIOD}")
    if wanted is None:
        choices = range(_PERIOD, _LONGEST_EPOCH + 1, _PERIOD)
        return max(n for n in choices if steps % n == 0)
    if wanted < 1 or wanted % _PERIOD or steps % wanted:
        raise UsageError(
            f"--epoch-steps {wanted}: give a multiple of {_PERIOD} that divides --steps {steps}, "
            "or leave it out"
        )
    return wanted


def network(model: str, latent: int | None, channels: Sequence[int]) -> VAEConfig:
    """Return one of the networks of the paper, narrower or wider where this was asked for.

    UsageError for an unknown name, or sizes that make no network.
    """
    if model not in MODELS:
        raise UsageError(f"--model {model}: choose one of {', '.join(sorted(MODELS))}")
    wanted = MODELS[model]
    try:
        return replace(
            wanted, latent=latent or wanted.latent, channels=tuple(channels) or wanted.channels
        )
    except ValueError as error:
        raise UsageError(f"--latent, --channels: {error}") from error
