"""Other ways to do what a stage does: each from files to what is compared with ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np
from ants_search import AFFINE, RIGID, ants_pose
from nibabel.affines import apply_affine
from stages import CONFIG, TEMPLATE, Stages

from uadbids.preproc import bias_field, registration, search
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.transform import read_transform
from uadbids.preproc.volume import read_volume

_SEED = 20210301
Way = Callable[[Stages], Any]


def data(path: Path) -> np.ndarray:
    """Voxels of an image."""
    return np.asarray(nib.load(path).dataobj)


# N4: the corrected image inside the brain, its median 1.


def _inside(stages: Stages, image: np.ndarray) -> np.ndarray:
    values = image[data(stages.files["brain"]) > 0]
    return values / np.median(values)


def ants_n4(**settings: Any) -> Way:
    """ANTsPy's, by our function with other settings."""

    def correct(stages: Stages) -> np.ndarray:
        out, config = stages.folder / "other.nii.gz", PreprocConfig(**settings)
        bias_field.correct_bias(stages.files["conformed"], stages.files["brain"], out, config)
        return _inside(stages, data(out))

    return correct


def ants_shrink(factor: int) -> Way:
    """ANTsPy's, shrunk alike along all axes, however thick the slices."""

    def correct(stages: Stages) -> np.ndarray:
        image, brain = (
            ants.image_read(str(stages.files[name]), pixeltype="float")
            for name in ("conformed", "brain")
        )
        weights = bias_field._weights(image.numpy(), brain.numpy() > 0, CONFIG)
        out = ants.n4_bias_field_correction(
            image, mask=brain, weight_mask=brain.new_image_like(weights), shrink_factor=factor,
            convergence={"iters": list(CONFIG.n4_iterations), "tol": 1e-7},
        )  # fmt: skip
        return _inside(stages, out.numpy())

    return correct


def largest_share(found: np.ndarray, ours: np.ndarray) -> float:
    """Largest difference of grey values, per cent; those of dark voxels are noise, and left out."""
    seen = ours > 0.1
    return float(100 * np.abs(found[seen] / ours[seen] - 1).max())


# Registration: where 250 points of the template's brain lie in the scan, mm.


def _points() -> np.ndarray:
    image = nib.load(TEMPLATE.brain_mask)
    return apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0)[::6007])


def ours(spacing: float) -> Way:
    """Our function, at a voxel size of the search."""

    def align(stages: Stages) -> np.ndarray:
        config = PreprocConfig(registration_spacing_mm=spacing)
        files, xfm, affine = stages.files, stages.folder / "x.txt", stages.folder / "a.txt"
        registration.register(files["corrected"], files["brain"], xfm, affine, TEMPLATE, config)
        return apply_affine(read_transform(xfm), _points())

    return align


def ants_way(spacing: float, search: dict[str, Any]) -> Way:
    """ANTsPy's search, of an affine transform the rigid one nearest to it."""

    def align(stages: Stages) -> np.ndarray:
        pose = ants_pose(stages.files["corrected"], stages.files["brain"], spacing, search)
        return apply_affine(pose, _points())

    return align


def sitk_rigid(stages: Stages) -> np.ndarray:
    """SimpleITK's: Mattes mutual information, three levels, from the centres of mass."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    coarse = stages.folder / "coarse.nii.gz"
    t1w = search.coarser(read_volume(TEMPLATE.t1w), CONFIG.registration_spacing_mm, 0)
    nib.Nifti1Image(t1w.data, t1w.affine).to_filename(coarse)
    fixed = SimpleITK.ReadImage(str(coarse), SimpleITK.sitkFloat32)
    brain = SimpleITK.ReadImage(str(stages.files["brain"]), SimpleITK.sitkFloat32)
    moving = SimpleITK.ReadImage(str(stages.files["corrected"]), SimpleITK.sitkFloat32) * brain
    start = SimpleITK.Euler3DTransform()
    start = SimpleITK.CenteredTransformInitializer(
        fixed, moving, start, SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    )
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.5, _SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 250)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    lps = _points() * (-1, -1, 1)
    return np.array([start.TransformPoint(tuple(point)) for point in lps]) * (-1, -1, 1)


def largest_distance(found: np.ndarray, ours: np.ndarray) -> float:
    """Largest distance between two positions of a point, mm."""
    return float(np.linalg.norm(found - ours, axis=1).max())


def dice(found: np.ndarray, ours: np.ndarray) -> float:
    """Overlap of two masks."""
    return float(2 * (found & ours).sum() / max(1, found.sum() + ours.sum()))


N4 = {
    "ANTsPy, voxels 6 mm apart (ours)": ants_n4(),
    "the same, 5 mm": ants_n4(n4_spacing_mm=5.0),
    "the same, 8 mm": ants_n4(n4_spacing_mm=8.0),
    "ANTsPy, every fourth voxel": ants_shrink(4),
}
REGISTRATION = {
    "all points, L-BFGS, affine at 3 mm, nearest rigid (ours)": ours(3.0),
    "the same at 4 mm": ours(4.0),
    "the same at 2 mm": ours(2.0),
    "ANTsPy, affine at 3 mm, nearest rigid": ants_way(3.0, AFFINE),
    "ANTsPy, rigid at 2 mm": ants_way(2.0, RIGID),
    "SimpleITK, rigid at 3 mm": sitk_rigid,
}
