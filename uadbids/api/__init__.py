"""The public Python interface: what the command line does, for one image and without a dataset.

Names in `uadbids.__all__` are stable; everything else in the package may move.
"""

from uadbids.api.result import Images, Result
from uadbids.api.single import detect, load_model
from uadbids.api.study import Derivatives, evaluate, load_derivatives

__all__ = [
    "Derivatives",
    "Images",
    "Result",
    "detect",
    "evaluate",
    "load_derivatives",
    "load_model",
]
