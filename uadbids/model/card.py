"""The card of a model bundle: everything about a model but its weights. Needs no torch."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from uadbids.model.calibration import Calibration
from uadbids.model.config import DetectionConfig, ReaderConfig, VAEConfig
from uadbids.model.grid import TEMPLATE_SHAPE, Crop

FORMAT_VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ReaderCard:
    """What a card says of the reader of its bundle."""

    config: ReaderConfig  # architecture
    training: Mapping[str, Any]  # sources and settings
    sha256: str = ""  # of the reader's weights; filled in when the bundle is saved


@dataclass(frozen=True)
class Card:
    """Everything about a model but its weights, as plain values."""

    name: str  # letters, digits, ``.``, ``_`` and ``-``
    config: VAEConfig  # architecture
    crop: Crop  # what the model sees of the template grid
    preproc: Mapping[str, Any]  # preprocessing it was trained with; a run must do the same
    detection: DetectionConfig  # defaults from reconstruction to lesions
    template_sha256: str  # of the template's array
    training: Mapping[str, Any]  # sources, ages and settings
    calibration: Mapping[str, Any]  # of `Calibration.to_dict`
    results: Mapping[str, Any]  # measured performance
    limits: tuple[str, ...]  # what the model must not be used for, in sentences
    license: str  # of the weights
    sha256: str = ""  # of the weights' file; filled in when the bundle is saved
    reader: ReaderCard | None = None
    format_version: int = FORMAT_VERSION  # of the folder

    def __post_init__(self) -> None:
        if self.detection.residual == "reader" and self.reader is None:
            raise ValueError("The residual 'reader' needs a reader.")
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no bundle name (letters, digits, '.', '_', '-').")
        # A 2D model sees the axial slices of the crop.
        if self.crop.shape[: self.config.dims] != self.config.shape:
            raise ValueError(f"The crop {self.crop.shape} does not fit {self.config.shape}.")
        ends = zip(self.crop.start, self.crop.shape, TEMPLATE_SHAPE, strict=True)
        if any(start < 0 or start + size > whole for start, size, whole in ends):
            raise ValueError(f"The crop at {self.crop.start} leaves the template grid.")

    @property
    def identity(self) -> str:
        """SHA-256 over all values, that of the weights included: names the model in outputs."""
        plain = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(plain.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, lists for tuples."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain


def parse_card(values: Mapping[str, Any]) -> Card:
    """Card of what `Card.to_dict` gave; nothing may be missing or unknown.

    KeyError, TypeError or ValueError if the values are not those of a card.
    """
    _same_keys("the card", values, Card)
    _same_keys("config", values["config"], VAEConfig)
    _same_keys("crop", values["crop"], Crop)
    _same_keys("detection", values["detection"], DetectionConfig)
    config, crop = values["config"], values["crop"]
    for part in ("preproc", "training", "calibration", "results"):
        if not isinstance(values[part], dict):
            raise ValueError(f"{part} must be an object.")
    _same_keys("calibration", values["calibration"], Calibration)
    Calibration.from_dict(values["calibration"])
    if not isinstance(values["limits"], list):
        raise ValueError("limits must be a list.")
    _whole([config["dims"], config["latent"]])
    _check_hash(values["sha256"])
    sizes = {key: _whole(config[key]) for key in ("shape", "channels")}
    return Card(
        **dict(values)
        | {
            "config": VAEConfig(**config | sizes),
            "crop": Crop(start=_triple(crop["start"]), shape=_triple(crop["shape"])),
            "detection": DetectionConfig(**values["detection"]),
            "limits": tuple(str(limit) for limit in values["limits"]),
            "reader": None if values["reader"] is None else _parse_reader(values["reader"]),
        }
    )


def _parse_reader(values: Any) -> ReaderCard:
    _same_keys("reader", values, ReaderCard)
    _same_keys("reader.config", values["config"], ReaderConfig)
    _check_hash(values["sha256"])
    if not isinstance(values["training"], dict):
        raise ValueError("reader.training must be an object.")
    config = values["config"]
    _whole([config["inputs"], config["flat"]])
    config = ReaderConfig(**config | {"widths": _whole(config["widths"])})
    return ReaderCard(config, values["training"], values["sha256"])


def _check_hash(value: Any) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("sha256 must be 64 hexadecimal digits.")


def _same_keys(where: str, values: Any, kind: type) -> None:
    expected = {field.name for field in fields(kind)}
    if not isinstance(values, dict) or set(values) != expected:
        found = set(values) if isinstance(values, dict) else set()
        raise ValueError(
            f"{where} lacks {sorted(expected - found)} or has the unknown "
            f"{sorted(found - expected)}."
        )


def _whole(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise ValueError(f"{values!r} is not a list of whole numbers.")
    return tuple(values)


def _triple(values: Any) -> tuple[int, int, int]:
    x, y, z = _whole(values)
    return x, y, z
