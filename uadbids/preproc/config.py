"""The preprocessing that a model was trained with, as plain values that a bundle's card carries."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from uadbids.errors import BundleError, ScanError, UsageError

Method = Literal["hd-bet", "deepbet", "mask", "none"]
IntensityScale = Literal["median", "percentile"]


@dataclass(frozen=True)
class PreprocConfig:
    """Every choice that changes the values of a preprocessed volume.

    TypeError or ValueError if a value is of another kind or out of range.
    """

    n4_spacing_mm: float = 6.0  # of the voxels that the bias field is fitted to
    # Most iterations on each fitting level. Two levels keep the field too stiff to follow a tumour;
    # four levels wipe it out.
    n4_iterations: tuple[int, ...] = (50, 50)
    n4_spared_fraction: float = 0.2  # of the brain, the brightest, without weight in the fit
    registration_spacing_mm: float = 3.0  # of the template on which the transform is estimated
    # What is mapped to a fixed value: the median of the brain (lesions cannot move it) or its
    # 99.5th percentile (the paper's range, which bright lesions move).
    intensity: IntensityScale = "median"

    def __post_init__(self) -> None:
        levels = self.n4_iterations
        if not levels or any(type(number) is not int or number < 1 for number in levels):
            raise ValueError("n4_iterations must be whole numbers above 0.")
        if not 0 < self.n4_spacing_mm < math.inf:
            raise ValueError("n4_spacing_mm must be above 0.")
        if not 0 <= self.n4_spared_fraction < 1:
            raise ValueError("n4_spared_fraction must lie between 0 and 1.")
        if not 0 < self.registration_spacing_mm < math.inf:
            raise ValueError("registration_spacing_mm must be above 0.")
        if self.intensity not in get_args(IntensityScale):
            raise ValueError(f"intensity must be one of {', '.join(get_args(IntensityScale))}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the values of a card.

        BundleError when a setting is missing, unknown or impossible: the volumes could then differ
        from those of the training.
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise BundleError(
                "The model was trained with a preprocessing that this version does not know "
                f"(settings that differ: {', '.join(sorted(known ^ set(values)))}). "
                "Use the version of uadbids that made the model."
            )
        try:
            return cls(**{**values, "n4_iterations": tuple(values["n4_iterations"])})
        except (TypeError, ValueError) as error:
            raise BundleError(f"The preprocessing of the card is not valid: {error}") from error


def choose_method(
    wanted: str, metadata: Mapping[str, Any], weights: Path | None, given_mask: Path | None
) -> Method:
    """Turn ``--skull-strip`` into the method for one scan.

    ``auto`` takes no method where the sidecar says ``SkullStripped: true``, else HD-BET where
    its weights are there, else deepbet. ScanError when a mask of the dataset was asked for and
    there is none; UsageError when HD-BET was asked for without weights.
    """
    if wanted == "auto":
        if metadata.get("SkullStripped") is True:
            return "none"
        return "hd-bet" if weights else "deepbet"
    if wanted == "mask" and given_mask is None:
        raise ScanError(
            "no brain mask of this scan was found; '--skull-strip mask' needs a "
            "..._label-brain_mask or ..._desc-brain_mask file beside the scan or in derivatives/"
        )
    if wanted == "hd-bet" and weights is None:
        raise UsageError("HD-BET's weights were not found; give their folder by --hd-bet-weights")
    return wanted  # type: ignore[return-value]  # the command line allows these words only
