"""The preprocessing that a model was trained with, as plain values that a bundle's card carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from uadbids.errors import BundleError

IntensityScale = Literal["median", "percentile"]


@dataclass(frozen=True)
class PreprocConfig:
    """Every choice that changes the values of a preprocessed volume.

    Attributes
    ----------
    n4_shrink : int
        Down-sampling of the image while the bias field is estimated.
    n4_iterations : tuple of int
        Largest number of iterations on each fitting level. Two levels keep the field
        too stiff to follow a tumour; four levels wipe it out.
    n4_spared_fraction : float
        Share of the brain, its brightest voxels, that gets no weight in the fit (0 to 1).
    registration_spacing_mm : float
        Voxel size of the template on which the transform is estimated.
    intensity : {"median", "percentile"}
        What is mapped to a fixed value: the median of the brain (lesions cannot move it)
        or its 99.5th percentile (the paper's range, which bright lesions move).
    """

    n4_shrink: int = 4
    n4_iterations: tuple[int, ...] = (50, 50)
    n4_spared_fraction: float = 0.2
    registration_spacing_mm: float = 3.0
    intensity: IntensityScale = "median"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocConfig:
        """Read the values of a card.

        Raises
        ------
        BundleError
            When a setting is missing or unknown: the volumes could then differ from those
            of the training.
        """
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise BundleError(
                "The model was trained with a preprocessing that this version does not know "
                f"(settings that differ: {', '.join(sorted(known ^ set(values)))}). "
                "Use the version of uadbids that made the model."
            )
        return cls(**{**values, "n4_iterations": tuple(values["n4_iterations"])})
