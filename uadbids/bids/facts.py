"""The one table of the facts of a scan: name, unit, meaning, and where each is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fact:
    """One field of the sidecars."""

    key: str  # name in the sidecar
    label: str = ""  # on the page of a participant; empty where it is shown under its own name
    column: str = ""  # in the table of a study; empty where that has columns of its own
    description: str = ""  # what the values are, and their range
    units: str = ""  # as BIDS writes them; empty for texts, counts and shares
    title: str = ""  # on the page of a study, which draws numbers; empty where it does not
    is_number: bool = True  # or text
    is_skewed: bool = False  # many small values and few large ones: drawn on a square-root axis
    # A result of the scan, as against how it came about: beside the mask of findings alone.
    is_result: bool = True
    is_headline: bool = False  # shown large on the page of a participant
    in_scans: bool = False  # in the BIDS table of scans

    @property
    def meaning(self) -> dict[str, str]:
        """Entry of a column in the JSON beside a table."""
        return {"Description": self.description, **({"Units": self.units} if self.units else {})}


def _setting(key: str, label: str, column: str, description: str, units: str = "",
             *, is_number: bool = False) -> Fact:  # fmt: skip
    return Fact(key, label, column, description, units, is_number=is_number, is_result=False)


# In the order of pages and tables. A new fact is one line here.
FACTS = (
    Fact("FindingVolumeMl", "Volume of findings (mL)", "finding_volume_ml",
         "Volume of all findings", "mL", "Volume of findings", is_skewed=True, is_headline=True,
         in_scans=True),
    Fact("VolumeWithoutArtefactsMl", "Without likely artefacts (mL)",
         "volume_without_artefacts_ml", "Volume of the findings that are not likely artefacts",
         "mL", "Volume without likely artefacts", is_skewed=True, is_headline=True,
         in_scans=True),
    Fact("FindingCount", "Findings", "finding_count", "Number of findings", "",
         "Findings", is_skewed=True, is_headline=True, in_scans=True),
    Fact("LikelyFindingCount", "Of these, likely", "likely_finding_count",
         "Number of findings tagged as likely", "", "Likely findings", is_skewed=True,
         is_headline=True),
    Fact("ArtefactCount", "Of these, likely artefacts", "artefact_count",
         "Number of findings tagged as likely artefacts", "", "", is_skewed=True),
    Fact("LargestFindingMl", "Largest finding (mL)", "largest_finding_ml",
         "Volume of the largest finding", "mL", "Largest finding", is_skewed=True,
         is_headline=True),
    Fact("BrainVolumeMl", "Brain volume (mL)", "brain_volume_ml", "Volume of the brain mask", "mL",
         "Brain volume", is_headline=True, in_scans=True),
    Fact("ExaminedBrainFraction", "Brain examined", "examined_brain_fraction",
         "Share of the brain mask that the model looked at, from 0 to 1", "", "Brain examined",
         is_headline=True, in_scans=True),
    Fact("ExpectedFindingMl", "Marked in healthy scans, median (mL)", "expected_finding_ml",
         "Median volume that the same method marks in the held-out scans of the model, whose "
         "lesions were filled in", "mL"),
    Fact("ExpectedRangeMl"),
    Fact("ExpectedScans"),
    Fact("BrainOutsideTemplateMl", "Brain mask outside the template's brain (mL)",
         "brain_outside_template_ml",
         "Volume of the brain mask more than 4 mm outside the template's brain: not examined",
         "mL", "Brain mask outside the template's brain", is_skewed=True),
    Fact("FindingBoundaryFraction", "Of the findings, at the boundary of the brain mask",
         "finding_boundary_fraction",
         "Share of the findings' volume within 4 mm of the brain mask's boundary, from 0 to 1", "",
         "Findings at the mask boundary"),
    Fact("SymmetricGreyFraction", "Of the findings, in grey matter on both sides",
         "symmetric_grey_fraction",
         "Share of the findings' volume in grey matter that is nearly as high on the other side, "
         "from 0 to 1", "", "Findings in grey matter on both sides"),
    Fact("ReconstructionError", "Reconstruction error", "reconstruction_error",
         "Mean absolute error of the reconstruction, in scaled intensities", "",
         "Reconstruction error"),
    Fact("ReconstructionErrorPercentile", "Its percentile in the model's cohort",
         "reconstruction_error_percentile",
         "Percentile of this error in the cohort that the model learnt from, from 0 to 100", "",
         "Error's percentile in the model's cohort"),
    Fact("RegistrationOverlap", "Overlap with template (Dice)", "registration_overlap",
         "Dice coefficient of the aligned brain mask and that of the template", "",
         "Overlap with the template"),
    Fact("RegistrationGain", "Alignment against shifted by 8 mm", "registration_gain",
         "Mutual information with the template, divided by the highest with the template shifted "
         "by 8 mm", "", "Alignment against shifted by 8 mm"),
    Fact("RegistrationAngleDegrees", "Angle to template (degrees)", "registration_angle_degrees",
         "Rotation of the rigid transform to the template", "degree", "Rotation"),
    Fact("SourceVoxelSizeMm", "Voxel size (mm)"),
    Fact("FieldOfViewCut", "Brain cut off"),
    Fact("OrientationRatio", "Alignment against turned or mirrored", "orientation_ratio",
         "Fit with the template divided by the best fit of the brain turned or mirrored", "",
         "Alignment against turned"),
    Fact("T1wCorrelation", "Correlation with T1-weighted template", "t1w_correlation",
         "Correlation with the T1-weighted template over tissue: high if it is no FLAIR", "",
         "Correlation with T1w"),
    Fact("VentricleLevel", "Ventricles to brain", "ventricle_level",
         "Darkest tenth of the ventricles divided by the median of the brain", "",
         "Ventricles to brain"),
    Fact("IntensityClippedFraction", "Brain clipped in scaling", "intensity_clipped_fraction",
         "Share of the brain's voxels that are too bright for the model's scale", "",
         "Intensities clipped", is_skewed=True),
    _setting("Model", "Model", "model", "Name of the model"),
    _setting("ModelSHA256", "Model SHA-256", "model_sha256", "SHA-256 of the model"),
    _setting("UadbidsVersion", "uadbids", "uadbids_version", "Version of uadbids"),
    _setting("Threshold", "Threshold", "threshold",
             "Threshold on the anomaly map, in the unit of the map", is_number=True),
    _setting("ThresholdSource", "Threshold comes from", "", ""),
    _setting("ResidualKind", "Residual", "residual", "Kind of residual that the map holds"),
    _setting("MinVolumeMm3", "", "min_volume_mm3", "Smaller findings were left out", "mm^3",
             is_number=True),
    _setting("MaskHoldsArtefacts", "Mask holds likely artefacts", "", ""),
    _setting("BrainMaskMethod", "Brain mask by", "brain_mask_method",
             "Where the brain mask comes from"),
    _setting("Device", "Device", "device", "Where the model ran"),
    _setting("RandomSeed", "Random seed", "", ""),
)  # fmt: skip
RESULTS = tuple(fact.key for fact in FACTS if fact.is_result)
LABELS: Mapping[str, str] = {fact.key: fact.label for fact in FACTS if fact.label}


def results_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the results of a scan from its facts, in the order of the table."""
    return {key: record[key] for key in RESULTS if key in record}
