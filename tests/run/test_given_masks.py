"""Which brain mask of a dataset belongs to which scan (``--skull-strip mask``)."""

from pathlib import Path

from uadbids.bids.scan import Scan
from uadbids.run.examine import given_masks
from uadbids.run.options import RunOptions


def scan(root: Path, label: str) -> Scan:
    path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
    return Scan(path, {"subject": label})


def test_a_scan_with_two_masks_does_not_stop_the_other(tmp_path):
    for label, tool in (("a", "x"), ("b", "x"), ("b", "y")):
        folder = tmp_path / "derivatives" / tool / f"sub-{label}" / "anat"
        folder.mkdir(parents=True)
        (folder / f"sub-{label}_desc-brain_mask.nii.gz").touch()
    scans = [scan(tmp_path, "a"), scan(tmp_path, "b"), scan(tmp_path, "c")]
    ready, unclear = given_masks(tmp_path, scans, RunOptions(tmp_path, skull_strip="mask"))
    masks = {one.subject: mask for one, mask in ready}
    assert masks["a"] == tmp_path / "derivatives/x/sub-a/anat/sub-a_desc-brain_mask.nii.gz"
    assert masks["c"] is None
    assert list(unclear) == ["sub-b"]
    assert "more than one mask fits" in unclear["sub-b"]


def test_no_mask_is_looked_for_unless_asked(tmp_path):
    ready, unclear = given_masks(tmp_path, [scan(tmp_path, "a")], RunOptions(tmp_path))
    assert ready == [(scan(tmp_path, "a"), None)]
    assert unclear == {}
