"""What a person should look at before trusting a result: one table of all flags.

Steps measure, this table judges. docs/reports.md explains each flag and where its limit is from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]

THICK_MM = 3.0
PLAUSIBLE_ML = (800.0, 2000.0)
"""Brains from school age on; outside of it a mask has more likely gone wrong."""
POOR_OVERLAP = 0.75
POOR_GAIN = 1.05
DOUBTFUL_ORIENTATION = 1.05
"""Of heads that lie as they should few come out below; see ``benchmarks/orientation.py``."""
UNUSUAL_PERCENTILE = 95.0
BOUNDARY_FRACTION = 0.3
LEAK_ML = 10.0
SYMMETRIC_GREY_FRACTION, SYMMETRIC_GREY_ML = 0.25, 2.0
"""Labelled scans with over 5 mL have up to 0.21; maps that follow bright cortex 0.26 to 0.97."""
MOST_LIKE_T1W = 0.5
"""57 FLAIR scans have up to 0.45, T1-weighted brains 0.61 to 1 (docs/reports.md)."""
BRIGHTEST_VENTRICLE = 1.0


@dataclass(frozen=True)
class Flag:
    """One reason for doubt."""

    code: str  # short name: the ``Flags`` of a sidecar, ``flags`` of the table of a study
    meaning: str  # what it says, for the dictionary of that table
    raised: Callable[[Facts], bool]  # by the facts of a scan; not where a fact is missing
    sentence: str  # what is unusual, and what to do; facts in braces


def _above(key: str, limit: float) -> Callable[[Facts], bool]:
    return lambda facts: (value := facts.get(key)) is not None and value > limit


def _below(key: str, limit: float) -> Callable[[Facts], bool]:
    return lambda facts: (value := facts.get(key)) is not None and value < limit


def _either(*conditions: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    return lambda facts: any(condition(facts) for condition in conditions)


def _follows_tissue(facts: Facts) -> bool:
    share, volume = facts.get("SymmetricGreyFraction"), facts.get("FindingVolumeMl")
    if share is None or volume is None:
        return False
    return bool(share > SYMMETRIC_GREY_FRACTION and share * volume > SYMMETRIC_GREY_ML)


FLAGS: tuple[Flag, ...] = (
    Flag(
        "follows-normal-tissue",
        "The map follows normal tissue: do not use",
        _follows_tissue,
        "{SymmetricGreyPercent} % of what was found lies in grey matter that is as bright on the "
        "other side, as normal tissue is: distrust all of it; the map follows normal tissue, do "
        "not use it",
    ),
    Flag(
        "contrast",
        "Looks unlike a FLAIR: like a T1-weighted image, or with bright ventricles",
        _either(
            _above("T1wCorrelation", MOST_LIKE_T1W), _above("VentricleLevel", BRIGHTEST_VENTRICLE)
        ),
        "this does not look like a FLAIR (correlation with a T1-weighted brain {T1wCorrelation}, "
        "ventricles to brain {VentricleLevel}; a FLAIR is unlike T1, and its ventricles are "
        "dark): check which sequence it is; if it is another one, discard this result",
    ),
    Flag(
        "domain-shift",
        "Reconstructed worse than the scans that the model learnt from",
        _above("ReconstructionErrorPercentile", UNUSUAL_PERCENTILE),
        "the model reconstructs this scan worse than all but {Worse} % of its own training "
        "cohort (mean error {ReconstructionError}): scanner, sequence, age or disease may be new "
        "to it; distrust small findings, and compare input and reconstruction below",
    ),
    Flag(
        "registration",
        "The brain does not lie well on the template",
        _either(_below("RegistrationOverlap", POOR_OVERLAP), _below("RegistrationGain", POOR_GAIN)),
        "the alignment to the template is doubtful (overlap {RegistrationOverlap}, mutual "
        "information {RegistrationGain} times that of a brain shifted by 8 mm): look at the "
        "alignment below; if it is off, check orientation in the header and the brain mask",
    ),
    Flag(
        "orientation",
        "The brain fits the template no better than turned or mirrored",
        _below("OrientationRatio", DOUBTFUL_ORIENTATION),
        "the brain fits the template no better than turned or mirrored ({OrientationRatio}): the "
        "header may be wrong, or this is no whole head; look at the alignment below",
    ),
    Flag(
        "brain-volume",
        "Implausible volume of the brain mask",
        _either(_below("BrainVolumeMl", PLAUSIBLE_ML[0]), _above("BrainVolumeMl", PLAUSIBLE_ML[1])),
        "the brain mask holds {BrainVolumeMl:.0f} mL, which is implausible for an adult: look at "
        "the brain mask below; if it is wrong, give one by --skull-strip mask",
    ),
    Flag(
        "field-of-view-cut",
        "The brain reaches the edge of the image",
        lambda facts: bool(facts.get("FieldOfViewCut")),
        "the field of view cuts the brain off ({FieldOfViewCut}): what lies beyond was not seen, "
        "and findings beside the cut may be false",
    ),
    Flag(
        "brain-mask-leak",
        "The brain mask reaches outside the template's brain",
        _above("BrainOutsideTemplateMl", LEAK_ML),
        "{BrainOutsideTemplateMl:.0f} mL of the brain mask lie more than 4 mm outside the brain of "
        "the template and were not examined: look at the outline of the mask; bone marrow, fat or "
        "scalp inside it may be marked beside that part",
    ),
    Flag(
        "mask-boundary",
        "Much of what was found lies at the boundary of the brain mask",
        _above("FindingBoundaryFraction", BOUNDARY_FRACTION),
        "{BoundaryPercent} % of what was found lies within 4 mm of the boundary of the brain mask, "
        "where skull, dura and vessels are taken for lesions: look at the mask there",
    ),
    Flag(
        "thick-slices",
        "Slices thicker than 3 mm",
        _above("SliceThicknessMm", THICK_MM),
        "slices are {SliceThicknessMm:.1f} mm thick: lesions smaller than that may be missed, and "
        "borders are uncertain; use a 3D FLAIR where there is one",
    ),
)
OTHER_FLAGS: Mapping[str, str] = {
    "header": "Position, orientation or values of the file had to be guessed or repaired",
    "brain-mask-method": "Brain mask by another method than in the training of the model",
}
"""Raised by the steps themselves."""


def judge(facts: Facts) -> tuple[list[str], list[str]]:
    """Give codes and sentences of the flags that all facts of a scan raise, the gravest first."""
    seen = _derived(facts)
    raised = [flag for flag in FLAGS if flag.raised(seen)]
    shown = _Shown({key: _short(value) for key, value in seen.items()})
    return [flag.code for flag in raised], [flag.sentence.format_map(shown) for flag in raised]


def flag_meanings() -> dict[str, str]:
    """Meaning of each flag, by its code."""
    return {flag.code: flag.meaning for flag in FLAGS} | dict(OTHER_FLAGS)


def brain_mask_warnings(facts: Facts, trained_with: Sequence[str]) -> list[str]:
    """Warn where a model sees brains that were cut out in another way than in its training.

    The facts have ``BrainMaskMethod``; no methods of the training are known where its card does not
    say. Returned is no or one sentence.
    """
    method = facts.get("BrainMaskMethod")
    if not trained_with or method in trained_with:
        return []
    return [
        f"the model was trained with brain masks by {', '.join(trained_with)}, this one is by "
        f"{method}: look at the boundary of the mask"
    ]


class _Shown(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "not measured"


def _derived(facts: Facts) -> dict[str, Any]:
    seen = dict(facts)
    if sizes := facts.get("SourceVoxelSizeMm"):
        seen["SliceThicknessMm"] = max(sizes)
    if (percentile := facts.get("ReconstructionErrorPercentile")) is not None:
        seen["Worse"] = f"{100 - percentile:.0f}"
    for key, percent in (
        ("FindingBoundaryFraction", "BoundaryPercent"),
        ("SymmetricGreyFraction", "SymmetricGreyPercent"),
    ):
        if (share := facts.get(key)) is not None:
            seen[percent] = round(100 * share)
    return seen


def _short(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
