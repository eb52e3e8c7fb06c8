"""Names of places; millimetres of MNI152 space, in which anatomy is known."""

import numpy as np
import pytest

from uadbids.preproc.atlas import Atlas
from uadbids.preproc.template import Template

PLACES = {
    "left frontal lobe, deep white matter": (-25, 30, 20),
    "right occipital lobe, deep white matter": (25, -82, 5),
    "right frontal lobe, juxtacortical or cortical": (40, 40, 20),
    "left temporal lobe, juxtacortical or cortical": (-52, -20, -15),
    "left temporal lobe, mesial": (-25, -20, -15),
    "left cerebellum, infratentorial": (-30, -60, -35),
    "brain stem, infratentorial": (0, -25, -30),
    "right insula, juxtacortical or cortical": (38, 5, 2),
    "corpus callosum": (0, 26, 5),
    "right basal ganglia, deep grey matter": (26, 3, 0),
    "right parietal lobe, periventricular": (26, -45, 18),
    "ventricle": (-20, -40, 12),
    "left thalamus, deep grey matter": (-12, -20, 8),
}


def around(centre, radius=3):
    """Return the points of a 1 mm grid within a ball."""
    steps = np.arange(-radius, radius + 1)
    grid = np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T
    return np.asarray(centre) + grid[np.linalg.norm(grid, axis=1) <= radius]


@pytest.mark.parametrize(("words", "centre"), PLACES.items())
def test_known_places(words, centre):
    assert Atlas.packaged().locate(around(centre)).words == words


@pytest.mark.parametrize("centre", [centre for words, centre in PLACES.items() if "t " in words])
def test_the_mirror_image_lies_on_the_other_side(centre):
    atlas = Atlas.packaged()
    here = atlas.locate(around(centre))
    there = atlas.locate(around(centre) * (-1, 1, 1))
    if "both" not in (here.hemisphere, there.hemisphere):
        assert {here.hemisphere, there.hemisphere} == {"left", "right"}
    assert here.region == there.region


def test_a_lesion_across_the_midline_is_on_both_sides():
    place = Atlas.packaged().locate(around((0, 50, 15), 6))
    assert place.hemisphere == "both" and place.words.startswith("frontal lobe, both sides")


def test_a_large_lesion_and_a_single_voxel_have_a_place():
    atlas = Atlas.packaged()
    assert atlas.locate(around((-30, 20, 20), 25)).region == "frontal lobe"
    assert atlas.locate(np.array([[-25.0, 30.0, 20.0]])).region == "frontal lobe"


@pytest.mark.parametrize("centre", [(0, 76, -2), (60, -300, 0), (-85, -20, 20)])
def test_what_lies_outside_of_the_brain_gets_no_name_of_a_region(centre):
    place = Atlas.packaged().locate(around(centre, 2))
    assert (place.region, place.zone, place.words) == ("", "", "outside the brain")


def test_tissues_lie_on_the_template_where_it_shows_them():
    import nibabel as nib

    template = Template.packaged()
    t1w = np.asarray(nib.load(template.t1w).dataobj).astype(float)
    tissues = Atlas.packaged().on_template()
    white, grey, fluid = (np.median(t1w[mask]) for mask in tissues)
    assert white > 1.2 * grey > 1.2 * fluid
    assert not (tissues.white & tissues.cortex).any()
