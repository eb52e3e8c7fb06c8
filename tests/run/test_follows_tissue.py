"""A map that follows bright normal cortex is flagged; the same scan as it is is not."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from uadbids.detection.postprocess import describe_components
from uadbids.model.bundle import find_bundle
from uadbids.pipeline.detect import detect
from uadbids.pipeline.findings import Judge, to_average_brain
from uadbids.pipeline.records import DetectOptions, Preprocessed
from uadbids.preproc.atlas import Atlas
from uadbids.qc.facts import Facts
from uadbids.qc.flags import judge

pytestmark = pytest.mark.slow

MAP = {"residual": "tfce", "threshold": 3.02}


def flags(run, folder, gain):
    """Flags of the example with grey matter beside the midline and cerebellum made brighter."""
    anat = run.out / "sub-20" / "ses-2" / "anat"
    names = ("preproc_FLAIR", "brain_mask", "mode-image_xfm")
    volume, mask, xfm = (next(anat.glob(f"*UADBIDS*{name}.[nt]*")) for name in names)
    (affine,) = run.work.rglob("affine.txt")
    scan = Preprocessed(volume, volume, mask, xfm, affine, volume, mask, Facts())
    if gain > 1:
        image = nib.load(volume)
        values = np.asarray(image.dataobj, dtype=np.float32)
        brain = np.argwhere(values > 0.8 * np.median(values[values > 0]))
        points = apply_affine(to_average_brain(scan), brain)
        grey = Atlas.packaged().is_grey(points)
        chosen = brain[grey & ((np.abs(points[:, 0]) < 18) | (points[:, 2] < -25))]
        values[tuple(chosen.T)] *= gain
        out = folder / "bright.nii.gz"
        nib.Nifti1Image(values, image.affine).to_filename(out)
        scan = Preprocessed(out, out, mask, xfm, affine, out, mask, Facts())
    found = detect(scan, folder, DetectOptions(Path(find_bundle("dense3d")), settings=MAP))
    look, score = Judge(scan, found), np.asarray(nib.load(found.files["anomaly"]).dataobj)
    parts = describe_components(look.labels, score, (1.0, 1.0, 1.0))
    seen = [look.look(part, look.labels, np.zeros(1, bool)) for part in parts]
    total = sum(item.volume_ml for item in seen)
    symmetric = sum(item.volume_ml * item.symmetric_grey for item in seen)
    return judge({"SymmetricGreyFraction": symmetric / total, "FindingVolumeMl": total})[0]


def test_bright_normal_cortex_is_noticed(example_run, tmp_path):
    assert flags(example_run, tmp_path, 1.0) == []
    assert flags(example_run, tmp_path, 1.2) == ["follows-normal-tissue"]
