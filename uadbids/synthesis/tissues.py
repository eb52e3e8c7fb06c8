"""How bright each tissue of the head is on FLAIR, relative to white matter."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Tissue(NamedTuple):
    """Labels that look alike, and how they look."""

    labels: tuple[int, ...]  # FreeSurfer's numbers; from 500 on those of SynthSeg's whole-head maps
    mean: float  # intensity where that of white matter is 1
    spread: float  # standard deviation of the mean between scans
    # Standard deviation of the smooth variation inside one scan, relative to the mean.
    texture: float
    old: float = 0.0  # change of the mean from young to old: iron darkens the deep nuclei


# Means and spreads follow what `recipes/measure_tissues.py` prints for six scans of
# patients with multiple sclerosis and four of people aged 77 to 87, with cortex raised, since there
# label maps overlap with fluid, and fluid and bone lowered, since there they overlap with tissue.
TISSUES: dict[str, Tissue] = {
    "air": Tissue((0,), 0.0, 0.0, 0.0),
    # Lesions (25, 57) and white matter hypointensities (77 to 79) become healthy white matter.
    "white": Tissue((2, 41, 25, 57, 77, 78, 79, 251, 252, 253, 254, 255), 1.0, 0.0, 0.03),
    "cortex": Tissue((3, 42, 80, 81, 82), 1.22, 0.05, 0.04, -0.05),
    "cerebellar white": Tissue((7, 46), 0.98, 0.05, 0.035),
    "cerebellar cortex": Tissue((8, 47), 1.14, 0.05, 0.04),
    "thalamus": Tissue((10, 49), 0.96, 0.07, 0.035),
    "caudate": Tissue((11, 50), 1.11, 0.06, 0.03, -0.13),
    "putamen": Tissue((12, 51), 1.06, 0.06, 0.03, -0.20),
    "pallidum": Tissue((13, 52), 0.90, 0.06, 0.04, -0.22),
    "hippocampus": Tissue((17, 53), 1.18, 0.08, 0.04),
    "amygdala": Tissue((18, 54), 1.18, 0.08, 0.03),
    "accumbens": Tissue((26, 58), 1.16, 0.07, 0.03),
    "ventral diencephalon": Tissue((27, 28, 59, 60), 0.94, 0.07, 0.07, -0.08),
    "brain stem": Tissue((16,), 0.96, 0.06, 0.07),
    "chiasm": Tissue((85, 530), 0.7, 0.1, 0.05),
    "ventricle": Tissue((4, 5, 43, 44, 72), 0.12, 0.06, 0.2),
    "lower ventricles": Tissue((14, 15), 0.18, 0.08, 0.3),
    "plexus": Tissue((31, 63, 136, 137, 163, 164), 1.05, 0.15, 0.2),
    "fluid": Tissue((24,), 0.15, 0.06, 0.35),
    "vessel": Tissue((30, 62, 502), 0.2, 0.08, 0.2),
    "cord": Tissue((512,), 1.0, 0.1, 0.05),
    "eye": Tissue((506,), 0.12, 0.07, 0.1),
    "orbit": Tissue((508,), 0.4, 0.12, 0.2),
    "soft": Tissue((507,), 0.32, 0.1, 0.2),
    "skin": Tissue((511,), 0.35, 0.15, 0.15),
    "bone": Tissue((515,), 0.07, 0.03, 0.2),
    "marrow": Tissue((516,), 0.45, 0.15, 0.2),
    "sinus": Tissue((514,), 0.2, 0.08, 0.3),
    "mucosa": Tissue((509,), 0.9, 0.3, 0.25),
}

NAMES = tuple(TISSUES)
BRAIN = NAMES[1 : NAMES.index("plexus") + 1]
"""Tissues of the brain, its ventricles included; the fluid around it is not."""
_TOP = 1 + max(max(tissue.labels) for tissue in TISSUES.values())


def unknown_labels(values: Iterable[int]) -> list[int]:
    """Return the labels that no tissue of `TISSUES` has, sorted."""
    known = {label for tissue in TISSUES.values() for label in tissue.labels}
    return sorted(set(values) - known)


def tissue_of(labels: Tensor) -> Tensor:
    """Turn labels (int) into places in `NAMES` (int64); ValueError if one is not known."""
    unknown = unknown_labels(torch.unique(labels).tolist())
    if unknown:
        raise ValueError(f"unknown labels: {', '.join(map(str, unknown))}")
    table = torch.zeros(_TOP, dtype=torch.int64)
    for place, tissue in enumerate(TISSUES.values()):
        table[list(tissue.labels)] = place
    return table.to(labels.device)[labels.long()]


def is_one_of(tissue: Tensor, *names: str) -> Tensor:
    """Return where a map of `tissue_of` holds one of the named tissues (bool)."""
    wanted = torch.zeros(len(NAMES), dtype=torch.bool)
    wanted[[NAMES.index(name) for name in names]] = True
    return wanted.to(tissue.device)[tissue]


def column(name: str) -> Tensor:
    """Return one column of `TISSUES` (``mean``, ``spread``, ``texture``, ``old``) as float32."""
    return torch.tensor([getattr(tissue, name) for tissue in TISSUES.values()])
