"""The one artefact that passes from training to use: weights, and a card that explains them.

A bundle is a folder with ``card.json``, ``weights.safetensors`` of the VAE and, where it has one,
``reader.safetensors``. Reading is strict and unpickles nothing; reading the card alone needs no
torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from uadbids.errors import BundleError
from uadbids.model.calibration import Calibration
from uadbids.model.card import FORMAT_VERSION, NAME, Card, parse_card
from uadbids.model.weights import half_precision, load_weights, read_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from uadbids.model.reader import Reader
    from uadbids.model.vae import VAE

_Network = TypeVar("_Network", bound="nn.Module")

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
READER_FILE = "reader.safetensors"

_PACKAGED = Path(__file__).parents[1] / "data" / "bundles"


@dataclass(frozen=True)
class Bundle:
    """A model that is ready to use; its networks are in evaluation mode."""

    card: Card  # what it is
    model: VAE
    calibration: Calibration  # its healthy residuals
    reader: Reader | None = None  # where the card has one


def packaged_bundles() -> list[Path]:
    """Folders of the bundles that come with the package, by name."""
    return sorted(card.parent for card in _PACKAGED.glob(f"*/{CARD_FILE}"))


def find_bundle(name_or_path: str | Path) -> Path:
    """Folder of a packaged bundle, by name, or of one's own, by path; BundleError without a card.

    A packaged name wins over a folder of that name; write ``./name`` for the folder.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, str) and NAME.fullmatch(text):
        packaged = _PACKAGED / text
        if (packaged / CARD_FILE).is_file():
            return packaged
    folder = Path(name_or_path)
    if (folder / CARD_FILE).is_file():
        return folder
    known = ", ".join(path.name for path in packaged_bundles()) or "none"
    raise BundleError(
        f"No model bundle {text!r}: give a folder with {CARD_FILE}, or a packaged name ({known})."
    )


def read_card(folder: Path) -> Card:
    """Read and check the card of a bundle.

    BundleError if it is missing, not readable, of another format, incomplete or inconsistent.
    """
    path = Path(folder) / CARD_FILE
    try:
        values = json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_duplicates,
        )
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"The model card {path} cannot be read: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"The model card {path} has format {version!r}; this version reads format "
            f"{FORMAT_VERSION}. Use the uadbids that made it, or train again."
        )
    try:
        return parse_card(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"The model card {path} is not valid: {error}") from error


def verify_bundle(folder: Path) -> Card:
    """Read the card as `read_card` does, and compare the weights' hash with it, without torch.

    BundleError if the card is not valid, or the weights are missing or not those of the card.
    """
    card = read_card(folder)
    read_weights(Path(folder) / WEIGHTS_FILE, card.sha256)
    if card.reader is not None:
        read_weights(Path(folder) / READER_FILE, card.reader.sha256)
    return card


def load_bundle(folder: Path, *, device: str | torch.device) -> Bundle:
    """Load a bundle in float32, its hashes and every tensor checked.

    A device in words is one of `resolve_device`, which raises DeviceError. BundleError if card or
    weights are missing, altered or do not fit together.
    """
    import torch

    from uadbids.model.inference import resolve_device
    from uadbids.model.reader import Reader
    from uadbids.model.vae import VAE

    place = resolve_device(device) if isinstance(device, str) else device
    card = read_card(folder)

    def load(name: str, sha256: str, build: Callable[[], _Network]) -> _Network:
        path = Path(folder) / name
        content = read_weights(path, sha256)
        # Shapes first, without memory for them: a card may ask for more than there is.
        with torch.device("meta"):
            expected = build().state_dict()
        tensors = load_weights(path, content, expected)
        model = build()
        model.load_state_dict(tensors)
        return model.to(place).eval()

    model = load(WEIGHTS_FILE, card.sha256, lambda: VAE(card.config))
    reader = None
    if (about := card.reader) is not None:
        reader = load(READER_FILE, about.sha256, lambda: Reader(about.config))
    return Bundle(card, model, Calibration.from_dict(card.calibration), reader)


def save_bundle(bundle: Bundle, folder: Path) -> Card:
    """Write a bundle, whole or not at all; one that is already there is replaced.

    Weights are written in half precision, and their hashes and the calibration put into the card,
    which is returned. The parent of the folder is made. BundleError if the folder holds anything
    but a bundle, or a weight does not fit half precision.
    """
    folder = Path(folder)
    refuse_foreign(folder)
    files = {WEIGHTS_FILE: half_precision(bundle.model, folder)}
    card = replace(
        bundle.card,
        sha256=hashlib.sha256(files[WEIGHTS_FILE]).hexdigest(),
        calibration=bundle.calibration.to_dict(),
    )
    if bundle.reader is not None and card.reader is not None:
        files[READER_FILE] = half_precision(bundle.reader, folder)
        sha256 = hashlib.sha256(files[READER_FILE]).hexdigest()
        card = replace(card, reader=replace(card.reader, sha256=sha256))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "new"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        text = json.dumps(card.to_dict(), indent=2, allow_nan=False) + "\n"
        (fresh / CARD_FILE).write_text(text, encoding="utf-8")
        _swap(fresh, folder, Path(temporary) / "old")
    return card


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key occurs twice.")
    return values


def refuse_foreign(folder: Path) -> None:
    """Refuse (BundleError) a folder with anything but a bundle, which one must not replace."""
    if not folder.exists():
        return
    own = {CARD_FILE, WEIGHTS_FILE, READER_FILE}
    if not folder.is_dir() or {p.name for p in folder.iterdir()} - own:
        raise BundleError(f"{folder} holds other things than a model bundle; give another folder.")


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    """Rename a finished folder into place; the former one comes back if that fails."""
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(fresh, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
