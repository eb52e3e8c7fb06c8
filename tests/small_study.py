"""A small study as `uadbids participant` leaves it, with masks, made without a network."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import ants
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from uadbids.bids.names import derivative_path
from uadbids.bids.scan import Scan
from uadbids.detection.erosion import erode
from uadbids.detection.postprocess import label_components, segment
from uadbids.pipeline.derive import to_native_space
from uadbids.pipeline.records import Detected, Preprocessed
from uadbids.preproc.conform import conform
from uadbids.qc.facts import Facts

SHAPE, ISOTROPIC = (48, 56, 40), (1.0, 1.0, 1.0)
CROP = {"start": [4, 4, 4], "shape": [40, 48, 32]}
THRESHOLD = 0.15
CARD = {"crop": CROP, "detection": {"erosion_mm": 1.0, "min_volume_mm3": 10.0}}
# Left-handed, thick slices: what axes can be confused in.
AXES = np.diag([-0.9, 1.1, 2.0])
MOVE = np.eye(4)
MOVE[:3, :3] = Rotation.from_euler("xyz", (8, -3, 5), degrees=True).as_matrix()
MOVE[:3, 3] = (2, -1, 1)
LPS = np.array([-1, -1, 1])


BALLS = {
    "01": [((6, 0, 2), 5), ((-8, 5, 6), 3)],
    "02": [((7, -2, 0), 4)],
    "03": [((-6, -4, 4), 6), ((5, 6, 5), 3.5)],
    "04": [],
}
HEALTHY = {f"h{n}": [((n, 4, 4), 1.6)] for n in range(3)}


def centred(axes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ (np.array(shape) - 1) / 2
    return affine


TEMPLATE = centred(np.eye(3), SHAPE)
NATIVE_SHAPE = (64, 58, 26)
NATIVE = centred(AXES, NATIVE_SHAPE)


def distances(affine: np.ndarray, shape: Sequence[int], centre: Sequence[float]) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(nib.affines.apply_affine(affine, grid) - np.asarray(centre), axis=-1)


def save(data: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return path


def make_scan(
    root: Path, work: Path, label: str, balls: Sequence[tuple[Sequence[float], float]]
) -> np.ndarray:
    """Write all outputs of one scan; return its true lesions on the scan's grid.

    ``balls``: centre in template millimetres and radius of each lesion.
    """
    work.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(sum(map(ord, label)))
    brain = distances(TEMPLATE @ np.diag([1, 0.8, 1.2, 1]), SHAPE, (0, -4.4, 3.9)) < 18
    volume = np.where(brain, 0.4 + generator.normal(0, 0.05, SHAPE), 0)
    truth = np.zeros(NATIVE_SHAPE, dtype=bool)
    for centre, radius in balls:
        volume[distances(TEMPLATE, SHAPE, centre) < radius] += 0.3
        home = nib.affines.apply_affine(MOVE, centre)
        truth |= distances(NATIVE, NATIVE_SHAPE, home) < radius
    volume = (volume * brain).astype(np.float32)
    recon = np.where(brain, 0.42, 0).astype(np.float32)
    anomaly = np.maximum(volume - recon, 0)
    examined = np.zeros(SHAPE, dtype=bool)
    examined[tuple(slice(a, a + n) for a, n in zip(CROP["start"], CROP["shape"], strict=True))] = 1
    anomaly *= examined
    examined &= erode(brain, 1.0, ISOTROPIC)
    lesions = segment(
        anomaly, examined, threshold=THRESHOLD, min_volume_mm3=10.0, spacing=ISOTROPIC
    )
    scan = Scan(work / "x.nii.gz", {"subject": label})
    for key, data in {
        "preproc": volume,
        "recon": recon,
        "anomaly": anomaly,
        "brain": brain.astype(np.uint8),
        "lesions": lesions,
    }.items():
        save(data, TEMPLATE, root / derivative_path(scan, f"template_{key}"))
    _carry(root, work, scan, label_components(lesions))
    facts = {
        "Threshold": THRESHOLD,
        "Model": "small",
        "ModelSHA256": "ab12",
        "ResidualKind": "positive",
        "ThresholdSource": "a false-positive rate",
    }
    marker = root / derivative_path(scan, "native_lesions", ".json")
    marker.write_text(json.dumps(facts))
    card = root / "code" / "model" / "model_card.json"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.write_text(json.dumps(CARD))
    return truth


def _carry(root: Path, work: Path, scan: Scan, labels: np.ndarray) -> None:
    """Resample everything to native space by the product's own engine."""
    xfm = root / derivative_path(scan, "xfm")
    transform = ants.create_ants_transform(
        transform_type="AffineTransform",
        dimension=3,
        matrix=LPS[:, None] * MOVE[:3, :3] * LPS,
        offset=MOVE[:3, 3] * LPS,
    )
    ants.write_transform(transform, str(xfm))
    noise = np.random.default_rng(0).uniform(1, 9, NATIVE_SHAPE).astype(np.float32)
    source = save(noise, NATIVE, work / "source.nii.gz")
    conform(source, work / "conformed.nii.gz")
    home = nib.affines.apply_affine(MOVE, (0, 0, 0))
    conformed = nib.load(work / "conformed.nii.gz")
    brain = distances(conformed.affine, conformed.shape, home) < 20
    preprocessed = Preprocessed(
        source=source,
        conformed=work / "conformed.nii.gz",
        brain=save(brain.astype(np.uint8), conformed.affine, work / "brain.nii.gz"),
        xfm=xfm,
        affine=xfm,
        volume=root / derivative_path(scan, "template_preproc"),
        mask=root / derivative_path(scan, "template_brain"),
        facts=Facts(),
    )
    maps = {
        "anomaly": root / derivative_path(scan, "template_anomaly"),
        "components": save(labels, TEMPLATE, work / "labels.nii.gz"),
    }
    native = to_native_space(preprocessed, Detected(maps, Facts()), work)
    for key, path in native.files.items():
        path.rename(root / derivative_path(scan, key))


def mask_path(root, label, name="label-lesion"):
    return root / f"sub-{label}" / "anat" / f"sub-{label}_{name}_mask.nii.gz"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture(scope="session")
def study() -> SimpleNamespace:
    """Tools to make such a study, and its geometry."""
    return SimpleNamespace(
        make_scan=make_scan,
        save=save,
        mask_path=mask_path,
        voxels=voxels,
        table=table,
        labels=list(BALLS),
        card=CARD,
        move=MOVE,
        threshold=THRESHOLD,
        template=TEMPLATE,
        shape=SHAPE,
        native=NATIVE,
        native_shape=NATIVE_SHAPE,
    )


@pytest.fixture(scope="session")
def data(study, made_once):
    """Maps of four participants, one of them without lesions; two raters; healthy scans.

    Only to be looked at: `maps` and `masks` are copies.
    """

    def make(root: Path) -> None:
        for label, balls in BALLS.items():
            truth = study.make_scan(root / "maps", root / "work", label, balls)
            study.save(truth.astype(np.uint8), study.native, mask_path(root / "masks", label))
            for rater, drawn in (("anna", truth), ("ben", ndimage.binary_erosion(truth))):
                name = f"label-lesion_desc-{rater}"
                path = mask_path(root / "raters", label, name)
                study.save(drawn.astype(np.uint8), study.native, path)
        for label, balls in HEALTHY.items():
            study.make_scan(root / "healthy", root / "work", label, balls)

    return made_once("study", make)


@pytest.fixture
def maps(data, tmp_path):
    """Copy of the maps, to be changed."""
    return shutil.copytree(data / "maps", tmp_path / "maps")


@pytest.fixture
def masks(data, tmp_path):
    """Copy of the masks, to be changed."""
    return shutil.copytree(data / "masks", tmp_path / "masks")
