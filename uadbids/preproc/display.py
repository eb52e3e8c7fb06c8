"""What viewers read in the header of an image: a range of values, and what it is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import nibabel as nib

# Brightest colour, in thresholds, as in the figures of the pages.
_BRIGHTEST = 3.0


class Display(NamedTuple):
    """Fields of a NIfTI header: values from ``low`` to ``high`` are shown, and a description."""

    text: str
    low: float = 0.0
    high: float = 1.0

    def write(self, header: nib.Nifti1Header) -> None:
        """Set the fields."""
        header["cal_min"], header["cal_max"] = self.low, self.high
        header["descrip"] = self.text.encode()[:79]


def display_of(kind: str, facts: Mapping[str, Any]) -> Display | None:
    """Choose the fields of an ``anomaly`` map or a ``score``; None for other images.

    The facts of the scan are ``Threshold`` and ``ResidualKind``.
    """
    threshold = facts.get("Threshold", 0.0)
    if kind == "score":
        return Display("uadbids: share of healthy voxels below")
    if kind != "anomaly" or threshold <= 0:
        return None
    return Display(
        f"uadbids: anomaly map ({facts.get('ResidualKind')})", threshold, _BRIGHTEST * threshold
    )
