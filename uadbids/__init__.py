"""Find what a healthy brain would not show in FLAIR images, without labels.

>>> import uadbids
>>> result = uadbids.detect("sub-01_FLAIR.nii.gz")  # doctest: +SKIP
>>> result.findings, result.anomaly_map  # doctest: +SKIP
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uadbids.api import Derivatives, Result, detect, evaluate, load_derivatives, load_model

try:
    __version__ = version("uadbids")
except PackageNotFoundError:  # a source tree that nobody installed
    __version__ = "0+unknown"

__all__ = [
    "Derivatives",
    "Result",
    "__version__",
    "detect",
    "evaluate",
    "load_derivatives",
    "load_model",
]


def __getattr__(name: str) -> Any:
    # Torch, ANTs and pandas take seconds to import: not before something needs them.
    if name in __all__:
        from uadbids import api

        return getattr(api, name)
    raise AttributeError(f"module 'uadbids' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
