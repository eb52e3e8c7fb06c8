"""Other ways to do what a stage does: each from files to what is compared with ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from registration import RIGID
from stages import CONFIG, TEMPLATE, Stages

from uadbids.preproc import bias_field, registration
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.transform import read_transform

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


def sitk_n4(stages: Stages) -> np.ndarray:
    """SimpleITK's, which knows no weights: what we give none is left out of its mask."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = SimpleITK.ReadImage(str(stages.files["conformed"]), SimpleITK.sitkFloat32)
    array = SimpleITK.GetArrayFromImage(image)
    brain = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(stages.files["brain"]))) > 0
    mask = SimpleITK.GetImageFromArray(bias_field._weights(array, brain, CONFIG).astype(np.uint8))
    mask.CopyInformation(image)
    shrink = [bias_field._shrink(array.shape, CONFIG.n4_shrink)] * 3
    corrector = SimpleITK.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(list(CONFIG.n4_iterations))
    corrector.SetConvergenceThreshold(1e-7)
    corrector.Execute(SimpleITK.Shrink(image, shrink), SimpleITK.Shrink(mask, shrink))
    field = SimpleITK.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image))
    return _inside(stages, (array / np.exp(field)).T)


def largest_share(found: np.ndarray, ours: np.ndarray) -> float:
    """Largest difference of grey values, per cent; those of dark voxels are noise, and left out."""
    seen = ours > 0.1
    return float(100 * np.abs(found[seen] / ours[seen] - 1).max())


# Registration: where 250 points of the template's brain lie in the scan, mm.


def _points() -> np.ndarray:
    image = nib.load(TEMPLATE.brain_mask)
    return apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0)[::6007])


def ants_rigid(spacing: float, search: dict[str, Any] | None = None) -> Way:
    """ANTsPy's, by our function; a search of its own, or ours."""

    def align(stages: Stages) -> np.ndarray:
        ours = registration._SEARCH
        registration._SEARCH = search or ours
        config = PreprocConfig(registration_spacing_mm=spacing)
        files, xfm, affine = stages.files, stages.folder / "x.txt", stages.folder / "a.txt"
        try:
            registration.register(files["corrected"], files["brain"], xfm, affine, TEMPLATE, config)
        finally:
            registration._SEARCH = ours
        return apply_affine(read_transform(xfm), _points())

    return align


def sitk_rigid(stages: Stages) -> np.ndarray:
    """SimpleITK's: Mattes mutual information, three levels, from the centres of mass."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    coarse = stages.folder / "coarse.nii.gz"
    t1w = ants.image_read(str(TEMPLATE.t1w))
    spacing = (CONFIG.registration_spacing_mm,) * 3
    ants.image_write(ants.resample_image(t1w, spacing, interp_type=0), str(coarse))
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
    "ANTsPy, shrink 4 (ours)": ants_n4(),
    "ANTsPy, shrink 6": ants_n4(n4_shrink=6),
    "ANTsPy, shrink 2": ants_n4(n4_shrink=2),
    "SimpleITK, shrink 4": sitk_n4,
}
REGISTRATION = {
    "ANTsPy, affine at 3 mm, nearest rigid (ours)": ants_rigid(3.0),
    "the same at 4 mm": ants_rigid(4.0),
    "the same at 2 mm": ants_rigid(2.0),
    "ANTsPy, rigid at 2 mm": ants_rigid(2.0, RIGID),
    "SimpleITK, rigid at 3 mm": sitk_rigid,
}
