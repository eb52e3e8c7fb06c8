from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uadbids.bids.names import (
    DERIVATIVES,
    derivative_path,
    figure_path,
    log_dir,
    report_path,
    scans_table_path,
)
from uadbids.bids.scan import ENTITIES, Scan, parse_entities
from uadbids.errors import ScanError

label = st.from_regex(r"[0-9a-zA-Z]{1,6}", fullmatch=True)
index = st.from_regex(r"[0-9]{1,3}", fullmatch=True)
optional = {
    name: index if name in {"run", "echo", "chunk"} else label
    for name in ENTITIES.values()
    if name not in {"subject", "part"}
}
entities = st.fixed_dictionaries({"subject": label}, optional={**optional, "part": st.just("mag")})
keys = st.sampled_from(sorted(DERIVATIVES))


def scan_of(values: dict[str, str]) -> Scan:
    return Scan(Path("image.nii.gz"), values)


def every_path(scan: Scan) -> list[PurePosixPath]:
    return [
        derivative_path(scan, key, extension)
        for key, derivative in DERIVATIVES.items()
        for extension in derivative.extensions
    ]


@given(entities, keys)
def test_names_keep_every_entity_as_written(values: dict[str, str], key: str) -> None:
    path = derivative_path(scan_of(values), key)
    added = {k: v for k, v in DERIVATIVES[key].entities.items() if k not in {"suffix", "extension"}}
    short = {"segmentation": "seg"}
    expected = {**values, **{short.get(k, k): v for k, v in added.items()}}
    assert parse_entities(path.name.rpartition("_")[0]) == expected


@given(entities, entities)
def test_names_are_unique_over_kinds_and_scans(a: dict[str, str], b: dict[str, str]) -> None:
    paths = [path for values in (a, b) for path in every_path(scan_of(values))]
    assert len(set(paths)) == len(paths) // (2 if a == b else 1)


@given(entities)
def test_names_are_legal(values: dict[str, str]) -> None:
    order = [*[*ENTITIES][:-1], "space", "chunk", "seg", "label", "desc", "from", "to", "mode"]
    for path in every_path(scan_of(values)):
        stem, _, suffix = path.name.rpartition("_")
        found = [part.split("-")[0] for part in stem.split("_")]
        assert found == [entity for entity in order if entity in found]
        assert suffix.split(".")[0] in {"FLAIR", "probseg", "mask", "dseg", "xfm"}
        assert path.parts[0] == f"sub-{values['subject']}"
        assert not path.is_absolute()


@pytest.mark.parametrize("key", sorted(DERIVATIVES))
@pytest.mark.parametrize("entity", ["direction", "space", "desc", "foo"])
def test_entities_without_a_place_are_refused(key: str, entity: str) -> None:
    scan = scan_of({"subject": "01", entity: "x"})
    if entity in {"space", "desc"} and entity not in DERIVATIVES[key].entities:
        assert f"{entity}-x" in derivative_path(scan, key).name
    else:
        with pytest.raises(ScanError, match=r"image\.nii\.gz"):
            derivative_path(scan, key)


def test_layout() -> None:
    scan = scan_of({"subject": "01", "session": "1", "acquisition": "3D", "run": "01"})
    stem = "sub-01/ses-1/anat/sub-01_ses-1_acq-3D_run-01"
    endings = {
        "native_anomaly": "space-orig_desc-anomaly_FLAIR.nii.gz",
        "native_score": "space-orig_label-anomaly_probseg.nii.gz",
        "native_lesions": "space-orig_label-anomaly_mask.nii.gz",
        "native_brain": "space-orig_label-brain_mask.nii.gz",
        "native_components": "space-orig_seg-anomaly_dseg.nii.gz",
        "template_preproc": "space-UADBIDS_desc-preproc_FLAIR.nii.gz",
        "template_recon": "space-UADBIDS_desc-recon_FLAIR.nii.gz",
        "template_anomaly": "space-UADBIDS_desc-anomaly_FLAIR.nii.gz",
        "template_score": "space-UADBIDS_label-anomaly_probseg.nii.gz",
        "template_lesions": "space-UADBIDS_label-anomaly_mask.nii.gz",
        "template_brain": "space-UADBIDS_label-brain_mask.nii.gz",
        "template_components": "space-UADBIDS_seg-anomaly_dseg.nii.gz",
        "xfm": "from-orig_to-UADBIDS_mode-image_xfm.txt",
    }
    found = {key: str(derivative_path(scan, key)) for key in DERIVATIVES}
    assert found == {key: f"{stem}_{ending}" for key, ending in endings.items()}
    assert str(derivative_path(scan, "native_components", ".tsv")).endswith("_dseg.tsv")
    figure = "sub-01/figures/sub-01_ses-1_acq-3D_run-01_desc-lesions_FLAIR.svg"
    assert str(figure_path(scan, "lesions")) == figure


@pytest.mark.parametrize(
    ("session", "expected"),
    [("1", "sub-01/ses-1/sub-01_ses-1_scans.tsv"), (None, "sub-01/sub-01_scans.tsv")],
)
def test_paths_of_a_participant(session: str | None, expected: str) -> None:
    assert str(scans_table_path("01", session)) == expected
    assert str(report_path("01")) == "sub-01.html"
    assert str(log_dir("01", "uuid")) == "sub-01/log/uuid"


def test_sources_lead_back_to_the_scan() -> None:
    def roots(key: str) -> set[str]:
        if key == "raw":
            return {"raw"}
        return set().union(*(roots(source) for source in DERIVATIVES[key].sources))

    assert all(roots(key) == {"raw"} for key in DERIVATIVES)
