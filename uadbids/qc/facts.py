"""Join what the steps of a scan reported into what its sidecars tell."""

from collections.abc import Iterable, Mapping
from typing import Any

from uadbids.qc.flags import judge

# Results of the scan, as against how they came about: told once, beside the lesion mask.
SUMMARY = (
    "BrainVolumeMl",
    "ExaminedBrainFraction",
    "LesionRimFraction",
    "ReconstructionError",
    "ReconstructionErrorPercentile",
    "RegistrationOverlap",
    "RegistrationGain",
    "RegistrationAngleDegrees",
    "OrientationRatio",
    "SourceVoxelSizeMm",
    "FieldOfViewCut",
    "T1wCorrelation",
    "VentricleLevel",
    "IntensityClippedFraction",
)


def join_facts(reports: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Merge reports; warnings and seconds add up, everything else is said by one step alone.

    Parameters
    ----------
    reports : iterable of Mapping
        CamelCase keys; ``Flags`` and ``Warnings`` (lists) and ``StageSeconds`` (mapping) may come
        from any step.

    Returns
    -------
    dict, dict
        Facts for every sidecar, and those for the summary of the scan. The flags that the whole of
        them raises (see `flags.judge`) come before those of the steps.
    """
    facts: dict[str, Any] = {"Flags": [], "Warnings": [], "StageSeconds": {}}
    for report in reports:
        for key, value in report.items():
            if key in ("Flags", "Warnings"):
                facts[key] = facts[key] + list(value)
            elif key == "StageSeconds":
                facts[key] = {**facts[key], **value}
            else:
                facts[key] = value
    codes, sentences = judge(facts)
    facts["Flags"] = codes + facts["Flags"]
    facts["Warnings"] = sentences + facts["Warnings"]
    summary = {key: facts.pop(key) for key in SUMMARY if key in facts}
    return facts, summary
