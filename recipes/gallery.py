"""Make the pictures of docs/gallery.md: pages of the packaged example and of cases made from it.

``python recipes/gallery.py WORK_DIR`` (some minutes; Chromium and playwright) writes docs/gallery.
The cases are made, since no scan of others may be shown: the example with its findings filled in,
with bright balls in its white matter (also as a second session), with a brain mask that holds
scalp, with cortex made brighter, and aligned wrongly by hand.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nipype.utils.filemanip import loadpkl
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from scipy import ndimage

import uadbids
from uadbids.pipeline.derive import alignment
from uadbids.preproc.atlas import Atlas
from uadbids.preproc.template import Template
from uadbids.reports.mosaic import draw_registration
from uadbids.reports.scan_figures import Alignment, landmarks_of
from uadbids.reports.scene import Scene

EXAMPLE = Path(uadbids.__file__).parent / "data" / "example"
IMAGE = "sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz"
OUT = Path(__file__).parents[1] / "docs" / "gallery"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, QUALITY = 900, 60
MANY, FEW, CONTRAST = 40, 6, 0.55
WHITE = (2, 41)
# Cingulate and medial frontal cortex, insula, cortex of the cerebellum, as benchmarks/tags.py has
# them: where healthy cortex is bright.
MEDIAL, MEDIAL_MM, INSULA, CEREBELLUM = (2, 10, 23, 26, 14, 28, 17), 18.0, 35, (8, 47)


def run(dataset: Path, work: Path, *flags: str) -> Path:
    """Examine a dataset, unless it was before; return its outputs."""
    out = work / f"{dataset.name}-out"
    if not (out / "sub-20.html").exists():
        command = [sys.executable, "-m", "uadbids", dataset, out, "participant"]
        command += ["-w", work / "work", *flags]
        subprocess.run(list(map(str, command)), check=True)
    return out


def dataset_of(work: Path, name: str, data: np.ndarray, like: nib.Nifti1Image) -> Path:
    """Make a dataset of the example with other voxels."""
    root = work / name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(EXAMPLE, root)
    save(data, like, root / IMAGE)
    return root


def save(data: np.ndarray, like: nib.Nifti1Image, path: Path) -> None:
    """Write voxels as the scan has them."""
    values = np.clip(np.round(data), 0, np.iinfo(like.get_data_dtype()).max)
    nib.Nifti1Image(values.astype(like.get_data_dtype()), None, like.header).to_filename(path)


def add_session(root: Path, data: np.ndarray, like: nib.Nifti1Image) -> None:
    """Give the participant a later session with other voxels."""
    first = root / "sub-20" / "ses-2" / "anat"
    later = root / "sub-20" / "ses-3" / "anat"
    later.mkdir(parents=True)
    for path in first.iterdir():
        shutil.copy(path, later / path.name.replace("ses-2", "ses-3"))
    save(data, like, later / Path(IMAGE).name.replace("ses-2", "ses-3"))


def filled(data: np.ndarray, findings: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Fill findings with the mean of the brain around them."""
    hole = ndimage.binary_dilation(findings, iterations=2)
    known = (brain & ~hole).astype(float)
    weight = ndimage.gaussian_filter(known, (6, 6, 2))
    around = ndimage.gaussian_filter(data * known, (6, 6, 2)) / np.maximum(weight, 1e-6)
    return np.where(hole, around, data)


def with_balls(
    data: np.ndarray, points: np.ndarray, white: np.ndarray, count: int = MANY
) -> np.ndarray:
    """Add bright balls of 3 to 9 mm in white matter; points are in mm, (X, Y, Z, 3)."""
    draw = np.random.default_rng(0)
    inside = np.argwhere(ndimage.binary_erosion(white, iterations=2))
    top = CONTRAST * np.median(data[white])
    added = np.zeros_like(data)
    for centre in inside[draw.choice(len(inside), count, replace=False)]:
        distance = np.linalg.norm(points - points[tuple(centre)], axis=-1)
        added = np.maximum(added, top * np.exp(-((distance / draw.uniform(1.5, 4.5)) ** 4)))
    return data + added


def shoot(page: Page, address: str, name: str, *, height: int = 1500, act: str = "") -> None:
    """Photograph the beginning of a page; `act` is a script that runs before."""
    page.set_viewport_size({"width": 1280, "height": height})
    page.goto(address)
    if act:
        page.evaluate(act)
        page.wait_for_timeout(1000)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    size = (WIDTH, round(picture.height * WIDTH / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).save(
        OUT / f"{name}.jpg", quality=QUALITY, optimize=True
    )


def main() -> None:
    """Examine, draw, photograph."""
    work = Path(sys.argv[1])
    OUT.mkdir(exist_ok=True)
    example = work / "example"
    shutil.rmtree(example, ignore_errors=True)
    shutil.copytree(EXAMPLE, example)
    outputs = {"example": run(example, work)}
    anat = outputs["example"] / Path(IMAGE).parent
    stem = "sub-20_ses-2_space-orig"
    image = nib.load(EXAMPLE / IMAGE)
    data = np.asarray(image.dataobj, dtype=float)
    brain, findings = (
        np.asarray(nib.load(anat / f"{stem}_label-{kind}_mask.nii.gz").dataobj) > 0
        for kind in ("brain", "anomaly")
    )
    (result,) = (work / "work").glob("uadbids*/sub_20_ses_2_wf/preprocess/result_preprocess.pklz")
    scan, _ = loadpkl(result).outputs.made
    placed = alignment(scan)
    grid = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), axis=-1)
    millimetres = apply_affine(image.affine, grid)
    conformed = nib.load(scan.conformed)
    canonical = np.linalg.inv(conformed.affine) @ image.affine
    average = apply_affine(placed.to_average @ placed.to_template @ canonical, grid[brain])
    atlas = Atlas.packaged()

    white = np.zeros_like(brain)
    white[brain] = np.isin(atlas.labels(average), WHITE)
    labels = atlas.labels(average)
    medial = np.isin(labels % 1000, MEDIAL) & (np.abs(average[:, 0]) < MEDIAL_MM)
    cortex = np.zeros_like(brain)
    cortex[brain] = (labels > 1000) & (medial | (labels % 1000 == INSULA))
    cortex[brain] |= np.isin(labels, CEREBELLUM)
    tissue = np.clip((data / np.median(data[brain]) - 0.6) / 0.2, 0, 1)
    soft = tissue * ndimage.gaussian_filter(cortex.astype(float), (1, 1, 0.4))
    made = {
        "clean": filled(data, findings, brain),
        "heavy": with_balls(data, millimetres, white),
        "leak": data,
        "false-total": data * (1 + 0.3 * soft),
        "follow-up": data,
    }
    flags = {
        "leak": ("--skull-strip", "mask"),
        "false-total": ("--residual", "tfce", "--threshold", "3"),
        "follow-up": ("--longitudinal",),
    }
    for name, voxels in made.items():
        root = dataset_of(work, name, voxels, image)
        if name == "leak":
            head = data > np.percentile(data, 60)
            wide = ndimage.binary_dilation(brain, iterations=12) & head
            mask = nib.Nifti1Image((brain | wide).astype(np.uint8), image.affine)
            mask.to_filename(root / IMAGE.replace("_FLAIR", "_desc-brain_mask"))
        if name == "follow-up":
            add_session(root, with_balls(data, millimetres, white, FEW), image)
        outputs[name] = run(root, work, *flags.get(name, ()))

    alignments(scan, placed, anat / f"{stem}_seg-anomaly_dseg.nii.gz", work)
    program = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=program).new_page()
        for name, out in outputs.items():
            shown = "sub-20_longitudinal.html" if name == "follow-up" else "sub-20.html"
            shoot(page, (out / shown).as_uri(), name, height=1650)
        for name in ("aligned", "misaligned"):
            wrapped = work / f"{name}.html"
            wrapped.write_text(f'<body style="margin:0"><img src="{name}.svg" style="width:100%">')
            shoot(page, wrapped.as_uri(), name, height=696)
        jump = (
            "document.querySelector('.jump').click();"
            "document.querySelector('.viewer').scrollIntoView()"
        )
        shoot(page, (outputs["heavy"] / "sub-20.html").as_uri(), "viewer", height=620, act=jump)


def alignments(scan: object, placed: Alignment, components: Path, work: Path) -> None:
    """Draw the alignment as it is, and turned by 12 degrees and shifted by 8 mm."""
    scene = Scene.read(scan.source, components)
    angle = np.deg2rad(12)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = (8, 0, 8)
    wrong = placed._replace(to_average=turn @ placed.to_average)
    for name, each in {"aligned": placed, "misaligned": wrong}.items():
        landmarks = landmarks_of(Template.packaged(), each)
        draw_registration(scene, landmarks, work / f"{name}.svg")


if __name__ == "__main__":
    main()
