"""Weights of a bundle: safetensors in half precision, checked by hash and shape."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from uadbids.errors import BundleError

if TYPE_CHECKING:
    import torch
    from torch import nn


def read_weights(path: Path, sha256: str) -> bytes:
    """Read a file of weights; BundleError if it cannot be read or is not that of the card."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"The weights {path} cannot be read: {error}") from error
    # The same bytes are hashed and parsed: the file cannot change in between.
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(
            f"The weights {path} are not those of their card (SHA-256 differs); copy the bundle "
            "again."
        )
    return content


def load_weights(
    path: Path, content: bytes, expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Parse weights as float32; BundleError unless names and shapes are those expected."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        found = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"The weights {path} are not a safetensors file: {error}") from error
    wrong = sorted(set(expected) ^ set(found)) or sorted(
        name for name, tensor in expected.items() if tensor.shape != found[name].shape
    )
    if wrong:
        raise BundleError(
            f"The weights {path} do not fit the card's architecture: {', '.join(wrong[:4])} "
            "is missing, unknown or of another shape."
        )
    return {name: tensor.float() for name, tensor in found.items()}


def half_precision(model: nn.Module, name: object) -> bytes:
    """Weights of a model as a safetensors file in half precision.

    BundleError if a weight does not fit half precision; `name` says whose.
    """
    from safetensors.torch import save

    state = model.state_dict().items()
    halves = {key: t.detach().cpu().half().contiguous() for key, t in sorted(state)}
    if not all(bool(tensor.isfinite().all()) for tensor in halves.values()):
        raise BundleError(f"The weights for {name} are not finite in half precision.")
    return save(halves)
