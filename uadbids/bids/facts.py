"""Join what the steps of a scan reported into what its sidecars tell."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Results of the scan, as against how they came about: told once, beside the lesion mask.
SUMMARY = (
    "BrainVolumeMl",
    "ExaminedBrainFraction",
    "RegistrationOverlap",
    "RegistrationAngleDegrees",
    "SourceVoxelSizeMm",
    "IntensityClippedFraction",
)


def join_facts(reports: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Merge reports; warnings and seconds add up, everything else is said by one step alone.

    Parameters
    ----------
    reports : iterable of Mapping
        CamelCase keys; ``Warnings`` (list) and ``StageSeconds`` (mapping) may come from any step.

    Returns
    -------
    dict, dict
        Facts for every sidecar, and those for the summary of the scan.
    """
    facts: dict[str, Any] = {"Warnings": [], "StageSeconds": {}}
    for report in reports:
        for key, value in report.items():
            if key == "Warnings":
                facts[key] = facts[key] + list(value)
            elif key == "StageSeconds":
                facts[key] = {**facts[key], **value}
            else:
                facts[key] = value
    summary = {key: facts.pop(key) for key in SUMMARY if key in facts}
    return facts, summary


def brain_mask_warnings(facts: Mapping[str, Any], trained_with: Sequence[str]) -> list[str]:
    """Warn where a model sees brains that were cut out in another way than in its training.

    Parameters
    ----------
    facts : Mapping
        With ``BrainMaskMethod``.
    trained_with : sequence of str
        Methods of the training; empty where the card does not tell.

    Returns
    -------
    list of str
        No or one sentence.
    """
    method = facts.get("BrainMaskMethod")
    if not trained_with or method in trained_with:
        return []
    return [
        f"the model was trained with brain masks by {', '.join(trained_with)}, this one is by "
        f"{method}: look at the rim"
    ]
