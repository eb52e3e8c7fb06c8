import json

import pytest

from uadbids.errors import UsageError
from uadbids.evaluation.pairs import find_pairs, read_filters

SCANS = ("sub-01/ses-1/anat/sub-01_ses-1", "sub-01/ses-2/anat/sub-01_ses-2", "sub-02/anat/sub-02")
FIRST = "sub-01/ses-1/anat/sub-01_ses-1"


@pytest.fixture
def make_maps(tmp_path):
    """Return a function: scans -> root of a dataset in which they are finished."""

    def make(*scans):
        root = tmp_path / "maps"
        for scan in scans:
            path = root / f"{scan}_space-orig_label-anomaly_mask.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"Threshold": 0.1}))
        return root

    return make


@pytest.fixture
def make_masks(tmp_path):
    """Return a function: files -> root of a dataset that holds them."""

    def make(*files):
        root = tmp_path / "masks"
        for file in files:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make


def paired(pairing):
    return {pair.scan.name: sorted(pair.masks) for pair in pairing.pairs}


@pytest.mark.parametrize(
    ("file", "reference"),
    [
        (f"{FIRST}_label-lesion_mask.nii.gz", "label-lesion"),
        (f"{FIRST}_label-WMH_mask.nii", "label-WMH"),
        (f"{FIRST}_desc-tumor_mask.nii.gz", "desc-tumor"),
        (f"{FIRST}_desc-anna_mask.nii.gz", "desc-anna"),
        (f"{FIRST}_dseg.nii.gz", "mask"),
        (f"{FIRST}_seg-lesion_desc-anna_dseg.nii.gz", "seg-lesion_desc-anna"),
        (f"{FIRST}_space-orig_label-lesion_mask.nii.gz", "label-lesion"),
        (f"derivatives/raters/{FIRST}_label-lesion_mask.nii.gz", "label-lesion"),
    ],
)
def test_a_mask_finds_its_scan(file, reference, make_maps, make_masks):
    pairing = find_pairs(make_maps(*SCANS), make_masks(file), {})
    assert paired(pairing) == {"sub-01_ses-1": [reference]}
    assert pairing.left_over == dict.fromkeys(
        ("sub-01_ses-2", "sub-02"), "there is no lesion mask of it"
    )


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("sub-03/anat/sub-03_label-lesion_mask.nii.gz", "no finished scan of that name"),
        ("sub-01/ses-3/anat/sub-01_ses-3_label-lesion_mask.nii.gz", "no finished scan"),
        # Without a session it could be of either.
        ("sub-01/anat/sub-01_label-lesion_mask.nii.gz", "no finished scan of that name"),
        (f"{FIRST}_acq-3D_label-lesion_mask.nii.gz", "no finished scan of that name"),
        (f"{FIRST}_space-MNI152_label-lesion_mask.nii.gz", "it lies in space-MNI152"),
        (f"{FIRST}_label-GM_mask.nii.gz", "does not say lesion"),
        (f"{FIRST}_desc-brain_mask.nii.gz", "does not say lesion"),
        (f"{FIRST}_space-orig_label-anomaly_mask.nii.gz", "does not say lesion"),
    ],
)
def test_what_does_not_fit_is_told(file, reason, make_maps, make_masks):
    masks = make_masks(file, "sub-02/anat/sub-02_label-lesion_mask.nii.gz")
    pairing = find_pairs(make_maps(*SCANS), masks, {})
    assert paired(pairing) == {"sub-02": ["label-lesion"]}
    assert reason in pairing.left_over[file]


def test_nothing_that_fits_is_an_error_that_names_the_first(make_maps, make_masks):
    masks = make_masks("sub-03/anat/sub-03_label-lesion_mask.nii.gz")
    with pytest.raises(UsageError, match=r"none of its 1 masks fits.*sub-03.*no finished scan"):
        find_pairs(make_maps(*SCANS), masks, {})


def test_two_raters_are_two_references_and_a_filter_takes_one(make_maps, make_masks):
    masks = make_masks(*(f"{FIRST}_label-lesion_desc-rater{n}_mask.nii.gz" for n in "123"))
    maps = make_maps(*SCANS)
    both = [f"label-lesion_desc-rater{n}" for n in "123"]
    assert paired(find_pairs(maps, masks, {})) == {"sub-01_ses-1": both}
    one = find_pairs(maps, masks, read_filters(["desc=rater2", "label=lesion"]))
    assert paired(one) == {"sub-01_ses-1": both[1:2]}
    assert "--mask-filter wants desc=rater2" in next(
        reason for name, reason in one.left_over.items() if "rater1" in name
    )
    some = find_pairs(maps, masks, read_filters(["desc=rater1", "desc=rater3"]))
    assert paired(some) == {"sub-01_ses-1": [both[0], both[2]]}


def test_a_filter_takes_what_no_label_calls_a_lesion(make_maps, make_masks):
    masks = make_masks(f"{FIRST}_label-infarct_mask.nii.gz")
    with pytest.raises(UsageError, match="say so by --mask-filter"):
        find_pairs(make_maps(*SCANS), masks, {})
    found = find_pairs(make_maps(*SCANS), masks, read_filters(["label=infarct"]))
    assert paired(found) == {"sub-01_ses-1": ["label-infarct"]}


def test_a_mask_that_fits_two_runs_is_not_guessed_about(make_maps, make_masks):
    maps = make_maps("sub-02/anat/sub-02_run-1", "sub-02/anat/sub-02_run-2")
    masks = make_masks(
        "sub-02/anat/sub-02_label-lesion_mask.nii.gz",
        "sub-02/anat/sub-02_run-2_label-lesion_mask.nii.gz",
    )
    pairing = find_pairs(maps, masks, {})
    assert paired(pairing) == {"sub-02_run-2": ["label-lesion"]}
    reason = pairing.left_over["sub-02/anat/sub-02_label-lesion_mask.nii.gz"]
    assert "more than one scan (sub-02_run-1, sub-02_run-2)" in reason


def test_two_masks_of_one_name_are_not_guessed_between(make_maps, make_masks):
    name = f"{FIRST}_label-lesion_mask.nii.gz"
    masks = make_masks(f"derivatives/anna/{name}", f"derivatives/ben/{name}")
    pairing = find_pairs(make_maps(*SCANS), masks, {})
    assert paired(pairing) == {"sub-01_ses-1": ["label-lesion"]}
    assert "keep one of them" in pairing.left_over[f"derivatives/ben/{name}"]


def test_our_own_maps_inside_the_dataset_are_no_masks(make_maps, make_masks, tmp_path):
    masks = make_masks(f"{FIRST}_label-lesion_mask.nii.gz")
    maps = make_maps(*SCANS)
    inside = masks / "derivatives" / "uadbids"
    inside.parent.mkdir()
    maps.rename(inside)
    (inside / f"{FIRST}_space-orig_label-anomaly_mask.nii.gz").touch()
    pairing = find_pairs(inside, masks, {})
    assert paired(pairing) == {"sub-01_ses-1": ["label-lesion"]}
    assert not any("anomaly" in name for name in pairing.left_over)


def test_a_link_to_content_that_is_not_here_is_told(make_maps, make_masks):
    masks = make_masks("sub-02/anat/sub-02_label-lesion_mask.nii.gz")
    (masks / "sub-01/ses-1/anat").mkdir(parents=True)
    (masks / f"{FIRST}_label-lesion_mask.nii.gz").symlink_to("not-fetched")
    pairing = find_pairs(make_maps(*SCANS), masks, {})
    assert "fetch it" in pairing.left_over[f"{FIRST}_label-lesion_mask.nii.gz"]


def test_folders_without_scans_or_masks_are_refused(make_maps, make_masks, tmp_path):
    masks = make_masks("sub-01/anat/sub-01_FLAIR.nii.gz")
    with pytest.raises(UsageError, match=r"there is no sub-\*_mask.nii.gz"):
        find_pairs(make_maps(*SCANS), masks, {})
    with pytest.raises(UsageError, match="no finished scan in it"):
        find_pairs(masks, masks, {})
    with pytest.raises(UsageError, match="the folder is not there"):
        find_pairs(tmp_path / "nowhere", masks, {})


@pytest.mark.parametrize("text", ["rater1", "desc=", "=rater1"])
def test_filters_of_another_form_are_refused(text):
    with pytest.raises(UsageError, match="as desc=rater1"):
        read_filters([text])


def test_filters_may_repeat_the_entity_in_the_value():
    assert read_filters(["desc=desc-rater1", "acq=3D"]) == {
        "desc": frozenset({"rater1"}),
        "acquisition": frozenset({"3D"}),
    }
