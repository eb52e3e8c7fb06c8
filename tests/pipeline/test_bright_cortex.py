"""Healthy cortex that is brighter than usual, as scanners and people differ, is no finding."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from uadbids.detection.detect import detect
from uadbids.model.bundle import find_bundle, load_bundle
from uadbids.preproc.atlas import Atlas


@pytest.mark.slow
def test_bright_cortex_adds_next_to_nothing(example_run):
    [preproc] = example_run.out.rglob("*_space-UADBIDS_desc-preproc_FLAIR.nii.gz")
    volume = np.asarray(nib.load(preproc).dataobj, dtype=np.float32)
    mask = preproc.with_name(preproc.name.replace("desc-preproc_FLAIR", "label-brain_mask"))
    brain = np.asarray(nib.load(mask).dataobj)
    bundle = load_bundle(find_bundle("dense3d"), device="cpu")
    # Cortex of brain and cerebellum, without the fluid of its sulci.
    tissue = np.clip((volume / np.median(volume[volume > 0]) - 0.6) / 0.2, 0, 1)
    cortex = ndimage.gaussian_filter(Atlas.packaged().on_template().cortex.astype(np.float32), 0.7)
    volumes_ml = {}
    for share in (0.0, 0.05, 0.1, 0.2):
        found = detect(volume * (1 + share * tissue * cortex), brain, bundle, device="cpu")
        volumes_ml[share] = np.count_nonzero(found.lesions) / 1000
    assert 0.1 < volumes_ml[0.0] < 2, volumes_ml
    assert max(volumes_ml.values()) < volumes_ml[0.0] + 1, volumes_ml
