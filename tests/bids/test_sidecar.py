import json
import math
from pathlib import Path

import numpy as np
import pytest

from uadbids.bids.names import DERIVATIVES
from uadbids.bids.scan import Scan
from uadbids.bids.sidecar import sidecar

SCAN = Scan(
    Path("/data/raw/sub-01/anat/sub-01_FLAIR.nii.gz"),
    {"subject": "01"},
    {"PatientName": "Doe", "InstitutionName": "Hospital"},
)
TEMPLATE = "bids::tpl-UADBIDS/anat/tpl-UADBIDS_T1w.nii.gz"


def content(key: str, written=tuple(DERIVATIVES), facts=None, summary=None) -> dict:
    return sidecar(SCAN, key, written, facts=facts or {}, summary=summary or {})


@pytest.mark.parametrize("key", sorted(DERIVATIVES))
def test_fields_that_bids_asks_for(key: str) -> None:
    found = content(key, facts={"Model": "dense3d"}, summary={"FindingCount": 2})
    entities = DERIVATIVES[key].entities
    reference = {"orig": "orig", "UADBIDS": TEMPLATE}.get(entities.get("space", ""))
    kinds = {"anomaly": "Lesion", "brain": "Brain"} if entities["suffix"] == "mask" else {}
    assert found.get("SpatialReference") == reference
    assert found.get("SkullStripped") == (True if entities["suffix"] == "FLAIR" else None)
    assert found.get("Type") == kinds.get(entities.get("label", ""))
    assert found["Description"]
    assert found["Model"] == "dense3d"
    assert found.get("FindingCount") == (2 if key == "native_lesions" else None)


def test_sources_are_files_that_exist() -> None:
    raw = "bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz"
    stem = "bids::sub-01/anat/sub-01"
    full = content("native_anomaly")["Sources"]
    assert full == [
        raw,
        f"{stem}_space-UADBIDS_desc-anomaly_FLAIR.nii.gz",
        f"{stem}_from-orig_to-UADBIDS_mode-image_xfm.txt",
    ]
    assert content("native_anomaly", ["native_anomaly", "native_brain"])["Sources"] == [
        raw,
        f"{stem}_space-orig_label-brain_mask.nii.gz",
    ]


def test_nothing_private_is_copied() -> None:
    facts = {
        "Model": "/home/alice/models/dense3d",
        "Mask": Path("/home/alice/masks/m.nii.gz"),
        "Warnings": ["cannot read '/home/alice/x y/z.nii' or /data; see https://a.org/b and n/a"],
    }
    text = json.dumps(content("native_lesions", facts=facts))
    for private in ("Doe", "Hospital", "alice", "/data", "/home"):
        assert private not in text
    assert "https://a.org/b and n/a" in text
    assert "dense3d" in text
    assert "m.nii.gz" in text


def test_numbers_are_plain_json() -> None:
    facts = {"Threshold": np.float32(0.5), "StageSeconds": {"n4": math.nan}, "Seed": np.int64(3)}
    found = content("native_brain", facts=facts)
    assert (found["Threshold"], found["StageSeconds"], found["Seed"]) == (0.5, {"n4": None}, 3)
    json.dumps(found, allow_nan=False)
