"""Tags of findings: one made-up finding for each reason, and none of them by default."""

from dataclasses import replace

import pytest

from uadbids.detection.tags import Evidence, tag
from uadbids.preproc.atlas import Place

# fmt: off
LESION = Evidence(
    volume_ml=0.4,
    height=2.0,
    boundary_share=0.0,
    place=Place(
        "left", "frontal lobe", "deep white matter", "left frontal lobe, deep white matter",
        depth_mm=25.0, cortex_mm=8.0, ventricle_mm=6.0, ventricle_share=0.0, midline_mm=25.0,
    ),
    symmetric_grey=0.0,
    twin=0.2,
    normal_z=0.0,
    elongation=1.5,
    slice_share=0.0,
)
# fmt: on
ARTEFACTS = {
    "brain-mask boundary": [{"boundary_share": 0.6}, {"depth_mm": 2.0}, {"depth_mm": -3.0}],
    "slice with another brightness": [{"slice_share": 0.9}],
    "septum or fornix": [{"midline_mm": 2.0, "ventricle_mm": 1.0}],
    "choroid plexus": [{"ventricle_share": 0.5}],
    "normally bright cortex": [{"cortex_mm": 1.0, "twin": 0.9}, {"normal_z": 2.0}],
    "vessel": [{"elongation": 6.0, "cortex_mm": 2.0}],
}
CASES = [(reason, change) for reason, changes in ARTEFACTS.items() for change in changes]


def lesion(**change):
    place = {key: change.pop(key) for key in list(change) if key in Place._fields}
    return replace(LESION, place=LESION.place._replace(**place), **change)


@pytest.mark.parametrize(("reason", "change"), CASES)
def test_each_reason_makes_an_artefact(reason, change):
    assert tag(lesion(**change)) == ("likely-artefact", reason)


def test_small_or_faint_findings_are_to_be_checked():
    assert tag(LESION) == ("likely", "")
    assert tag(lesion(volume_ml=0.05)) == ("check", "")
    assert tag(lesion(height=1.1)) == ("check", "")


@pytest.mark.parametrize("reason", ["septum or fornix", "choroid plexus", "normally bright cortex"])
def test_anatomy_excuses_small_findings_alone(reason):
    """A tumour may reach the cortex, the middle and a ventricle."""
    for change in ARTEFACTS[reason]:
        assert tag(lesion(**change, volume_ml=20.0)) == ("likely", "")


def test_a_symmetric_pair_in_white_matter_is_no_artefact():
    assert tag(lesion(twin=1.0)) == ("likely", "")
