"""The table of a study, from made-up sidecars."""

import csv
import io
import json
from pathlib import Path

import pytest

from uadbids.bids.scan import Scan
from uadbids.reports.group_table import COLUMNS, SETTINGS, group_rows, group_tables, settings_of

FACTS = {
    "FindingVolumeMl": 2.0,
    "VolumeWithoutArtefactsMl": 1.5,
    "FindingCount": 3,
    "LikelyFindingCount": 1,
    "ArtefactCount": 2,
    "ExpectedFindingMl": 0.7,
    "BrainOutsideTemplateMl": 2.5,
    "LargestFindingMl": 1.25,
    "BrainVolumeMl": 1000.0,
    "ExaminedBrainFraction": 0.78,
    "FindingBoundaryFraction": 0.1,
    "SymmetricGreyFraction": 0.02,
    "ReconstructionError": 0.05,
    "ReconstructionErrorPercentile": 42.0,
    "RegistrationOverlap": 0.9,
    "RegistrationGain": 1.3,
    "OrientationRatio": 1.6,
    "FieldOfViewCut": ["below", "left"],
    "T1wCorrelation": 1.1,
    "VentricleLevel": 0.4,
    "RegistrationAngleDegrees": 4.5,
    "SourceVoxelSizeMm": [0.9, 5.0, 0.8],
    "BiasFieldRange": [0.8, 1.2],
    "IntensityClippedFraction": 0.001,
    "StageSeconds": {"n4": 1.5, "detect": 2.25},
    "Warnings": ["said", "said", "other"],
    "Flags": ["thick-slices", "domain-shift", "thick-slices"],
    "Model": "dense3d",
    "ModelSHA256": "ab",
    "UadbidsVersion": "1",
    "Threshold": 3.0,
    "ResidualKind": "excess-z",
    "MinVolumeMm3": 10.0,
    "BrainMaskMethod": "deepbet",
    "Device": "cpu",
}


def scan(label="01", session=None, **facts):
    entities = {"subject": label} | ({"session": session} if session else {})
    return Scan(Path("x.nii.gz"), entities, {**FACTS, **facts})


def table(rows):
    text = group_tables(rows)["group_FLAIR.tsv"].decode()
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def test_row_holds_every_fact_of_the_sidecar():
    (row,) = group_rows([scan(session="2")])
    assert row == {
        "participant_id": "sub-01",
        "session_id": "ses-2",
        "scan": "sub-01_ses-2",
        "flags": "thick-slices,domain-shift",
        "warnings": 2,
        "rating": None,
        "note": None,
        "finding_volume_ml": 2.0,
        "volume_without_artefacts_ml": 1.5,
        "finding_count": 3,
        "likely_finding_count": 1,
        "artefact_count": 2,
        "expected_finding_ml": 0.7,
        "brain_outside_template_ml": 2.5,
        "largest_finding_ml": 1.25,
        "finding_brain_fraction": 0.002,
        "brain_volume_ml": 1000.0,
        "examined_brain_fraction": 0.78,
        "finding_boundary_fraction": 0.1,
        "symmetric_grey_fraction": 0.02,
        "reconstruction_error": 0.05,
        "reconstruction_error_percentile": 42.0,
        "registration_overlap": 0.9,
        "registration_gain": 1.3,
        "orientation_ratio": 1.6,
        "registration_angle_degrees": 4.5,
        "largest_voxel_edge_mm": 5.0,
        "voxel_i_mm": 0.9,
        "voxel_j_mm": 5.0,
        "voxel_k_mm": 0.8,
        "field_of_view_cut": "below,left",
        "t1w_correlation": 1.1,
        "ventricle_level": 0.4,
        "bias_field_ratio": pytest.approx(1.5),
        "intensity_clipped_fraction": 0.001,
        "seconds": 3.75,
        "settings": "1",
        "model": "dense3d",
        "model_sha256": "ab",
        "uadbids_version": "1",
        "threshold": 3.0,
        "residual": "excess-z",
        "min_volume_mm3": 10.0,
        "brain_mask_method": "deepbet",
        "device": "cpu",
    }


def test_what_is_missing_or_no_number_is_not_available():
    empty = Scan(Path("x.nii.gz"), {"subject": "02"})
    odd = scan(
        "03",
        FindingVolumeMl="many",
        FindingCount=True,
        BrainVolumeMl=float("nan"),
        SourceVoxelSizeMm=[1.0, None, 1.0],
        BiasFieldRange=[],
        StageSeconds=None,
        Flags="no list",
        Warnings=None,
        ModelSHA256="a\tb\nc",
    )
    first, second = table(group_rows([empty, odd]))
    told = {name: value for name, value in first.items() if value != "n/a"}
    # One set of settings is as good a name for "unknown" as another.
    assert told.pop("settings") in ("1", "2")
    assert told == {"participant_id": "sub-02", "scan": "sub-02", "warnings": "0"}
    unknown = {name for name, value in second.items() if value == "n/a"}
    assert unknown >= {"finding_volume_ml", "finding_count", "brain_volume_ml", "voxel_i_mm"}
    assert unknown >= {"finding_brain_fraction", "largest_voxel_edge_mm", "bias_field_ratio"}
    assert unknown >= {"seconds", "flags"}
    assert second["model_sha256"] == "a b c"


def test_no_lesion_is_nothing_and_not_unknown():
    (row,) = table(group_rows([scan(FindingVolumeMl=0.0, FindingCount=0)]))
    assert row["finding_volume_ml"] == row["finding_count"] == row["finding_brain_fraction"] == "0"


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("Model", "mine"),
        ("ModelSHA256", "cd"),
        ("UadbidsVersion", "2"),
        ("Threshold", 3.5),
        ("ResidualKind", "positive"),
        ("MinVolumeMm3", 3.0),
        ("BrainMaskMethod", "hd-bet"),
    ],
)
def test_scans_made_differently_are_told_apart(field, other):
    rows = group_rows([scan("01", **{field: other}), scan("02"), scan("03")])
    assert [row["settings"] for row in rows] == ["2", "1", "1"]
    assert [found["scans"] for found in settings_of(rows)] == [2, 1]
    assert set(settings_of(rows)[0]) == {"scans", *SETTINGS}


def test_where_a_scan_ran_makes_no_set_of_its_own():
    rows = group_rows([scan("01"), scan("02", Device="cuda:0", RandomSeed=1)])
    assert len(settings_of(rows)) == 1


def test_every_column_is_explained_once():
    rows = group_rows([scan()])
    meanings = json.loads(group_tables(rows)["group_FLAIR.json"])
    assert list(table(rows)[0]) == [column.name for column in COLUMNS]
    assert set(meanings) - {"Description"} == {column.name for column in COLUMNS}
    assert meanings["finding_volume_ml"]["Units"] == "mL"
    assert "thick-slices" in meanings["flags"]["Levels"]
    assert all(meanings[column.name]["Description"] for column in COLUMNS)
