"""Arrays of the reader's pack from the public sources (`reader.py pack`).

Tissue maps come from SynthSeg's label maps, aligned rigidly; scans from the cohort of the packaged
models, those that train alone; slices from SOOP; shapes and places of lesions from published masks.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from make_cohort import label_of
from nibabel.processing import resample_from_to
from scipy import ndimage

from uadbids.detection.hyperintensity import tissue_level
from uadbids.model.grid import Crop
from uadbids.preproc.template import Template
from uadbids.synthesis.label_maps import find_label_maps, read_labels
from uadbids.synthesis.tissues import BRAIN, NAMES, tissue_of

BOX = Crop((5, 6, 4), (160, 192, 160))
"""The part of the template grid that the reader learns from: all of the brain."""
Arrays = dict[str, Any]

# How far (mm) from the brain a tissue map is kept.
_AROUND = 12
# Brightness of brain tissue on a T1-weighted image, to align tissue maps by; others have the last.
_T1W = {
    "white": 1.0, "cerebellar white": 1.0, "brain stem": 0.95, "pallidum": 0.9, "thalamus": 0.85,
    "cortex": 0.68, "cerebellar cortex": 0.68, "lower ventricles": 0.25, "ventricle": 0.2,
}  # fmt: skip
_OTHER_T1W = 0.72
# Scans of clinical routine are fewer, and more like those of users.
_CHANCES = {"open-ms": 2.0}
_SLICES = 400
_SMALLEST_SLICE = 8000
_BRIGHT_Z = 2.6
_SMALLEST_STROKE, _LARGEST_STROKE = 200, 150_000


def heads(labels: Path) -> Arrays:
    """Align tissue maps of whole heads with the template; nothing far from the brain is kept."""
    return {"heads": np.stack([_aligned(path) for path in find_label_maps(labels)])}


def _aligned(path: Path) -> np.ndarray:
    import ants

    tissue = tissue_of(read_labels(path)).numpy().astype(np.uint8)
    affine = nib.as_closest_canonical(nib.load(path)).affine
    table = [_T1W.get(name, _OTHER_T1W) * (name in BRAIN) for name in NAMES]
    fixed = ants.image_read(str(Template.packaged().t1w))
    with tempfile.TemporaryDirectory() as folder:

        def image(data: np.ndarray, name: str) -> Any:
            file = Path(folder, name)
            nib.Nifti1Image(data.astype(np.float32), affine).to_filename(file)
            return ants.image_read(str(file))

        like_t1w = image(np.array(table)[tissue], "t1w.nii.gz")
        coarse = [ants.resample_image(x, (2, 2, 2)) for x in (fixed, like_t1w)]
        found = ants.registration(*coarse, "Rigid", aff_metric="mattes", random_seed=1)
        moved = ants.apply_transforms(
            fixed, image(tissue, "tissue.nii.gz"), found["fwdtransforms"], "nearestNeighbor"
        )
    aligned = BOX.apply(moved.numpy().round().astype(np.uint8))
    brain = np.isin(aligned, [NAMES.index(name) for name in BRAIN])
    aligned[~ndimage.binary_dilation(brain, iterations=_AROUND)] = 0
    return aligned


def scans(work: Path, cohort: Path) -> Arrays:
    """Take the scans that train, with filled lesions, preprocessed as `uadbids train` does."""
    from elsewhere import ready_members

    datasets = {label_of(row): row["dataset"] for row in _split() if row["split"] == "train"}
    volumes, masks, weights, chances = [], [], [], []
    for member in ready_members(work, cohort):
        if member.subject in datasets:
            sample = member.load().sample(BOX)
            volumes.append(sample.volume.numpy())
            masks.append(sample.mask.numpy())
            weights.append(sample.weight.numpy())
            chances.append(_CHANCES.get(datasets[member.subject], 1.0))
    return {
        "scans": np.stack(volumes), "scan_masks": np.stack(masks),
        "scan_weights": np.stack(weights), "scan_chances": np.array(chances),
    }  # fmt: skip


def _split() -> Iterator[dict[str, str]]:
    with (Path(__file__).parent / "split.tsv").open() as stream:
        yield from csv.DictReader(stream, delimiter="\t")


def slices(soop: Path) -> Arrays:
    """Mid-axial slices in which no lesion was marked, on the plane of the box."""
    with np.load(soop, allow_pickle=False) as archive:
        images = archive["img"][archive["n_overlay"] == 0]
    found = [made for image in images if (made := one_slice(image)) is not None][:_SLICES]
    planes, masks, weights = (np.stack(part) for part in zip(*found, strict=True))
    return {"slices": planes, "slice_masks": masks, "slice_weights": weights}


def one_slice(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Slice, brain mask and what is not suspiciously bright; None where there is little brain."""
    plane = np.zeros(BOX.shape[:2], np.uint8)
    # Rows run from front to back, 189 of them.
    plane[:, 1 : 1 + image.shape[0]] = image[::-1].T
    mask = ndimage.binary_fill_holes(ndimage.binary_opening(plane > 5))
    labels, count = ndimage.label(mask)
    if count == 0:
        return None
    mask = labels == 1 + np.argmax(ndimage.sum(mask, labels, range(1, count + 1)))
    if mask.sum() < _SMALLEST_SLICE:
        return None
    median, spread = tissue_level(plane, mask)
    z = ndimage.gaussian_filter(np.where(mask, (plane - median) / max(spread, 1e-6), 0), 0.8)
    # Lesions that nobody marked; at the boundary of the brain bright voxels are cortex.
    bright = (z > _BRIGHT_Z) & ndimage.binary_erosion(mask, iterations=3)
    return plane, mask, ~ndimage.binary_dilation(bright, iterations=2)


def places(ms_lesions: Path) -> Arrays:
    """Shapes of lesions of multiple sclerosis, where they lie, and how bright grey matter is."""
    template = Template.packaged()
    image = nib.load(ms_lesions / "frequency.nii.gz")
    grid = nib.load(template.t1w).shape
    frequency = resample_from_to(image, (grid, template.affine), order=1)
    with np.load(ms_lesions / "shapes.npz", allow_pickle=False) as archive:
        shapes = {name: archive[name] for name in ("bits", "length", "shape")}
    return {
        "frequency": (BOX.apply(frequency.get_fdata()) / 255).astype(np.float16),
        "normal": BOX.apply(template.normal_brightness()).astype(np.float16),
        "start": np.array(BOX.start),
        **shapes,
    }


def strokes(folder: Path) -> Arrays:
    """Masks of strokes in MNI space, on the box; too small and too large ones are left out."""
    template = nib.load(Template.packaged().brain_mask)
    found = []
    for path in sorted(folder.glob("*.nii.gz")):
        image = nib.load(path)
        mask = nib.Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.float32), image.affine)
        moved = resample_from_to(mask, (template.shape, template.affine), order=1)
        whole = np.asarray(moved.dataobj) > 0.5
        if _SMALLEST_STROKE < whole.sum() < _LARGEST_STROKE:
            found.append(BOX.apply(whole))
    return {"strokes": np.stack(found)}
