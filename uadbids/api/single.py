"""One image, from the scanner to findings."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TypeAlias

import nibabel as nib
import pandas as pd

from uadbids.api.result import Result, read_images
from uadbids.bids.sidecar import COMPONENT_COLUMNS
from uadbids.model.bundle import Bundle, find_bundle, load_bundle, verify_bundle
from uadbids.pipeline.records import Compute, DetectOptions, PreprocessOptions
from uadbids.preproc.config import PreprocConfig

DEFAULT_SEED = 20210301
Image: TypeAlias = "str | os.PathLike[str] | nib.Nifti1Image"
"""A NIfTI file, or an image in memory."""


def detect(
    image: Image,
    model: str | os.PathLike[str] = "dense3d",
    *,
    threshold: float | None = None,
    false_positive_rate: float | None = None,
    sensitivity: str | None = None,
    residual: str | None = None,
    min_volume_mm3: float | None = None,
    brain_mask: Image | None = None,
    skull_stripped: bool = False,
    device: str = "auto",
    threads: int = 1,
    seed: int = DEFAULT_SEED,
) -> Result:
    """Find what a healthy brain would not show in a FLAIR image.

    The very steps of ``uadbids ... participant``: same image, same model, same bytes.

    Parameters
    ----------
    image : path or Nifti1Image
        One 3D FLAIR; nothing needs to be done to it before.
    model : str or path
        Name of a packaged model, or folder of a bundle.
    threshold : float, optional
        On the anomaly map; else calibrated.
    false_positive_rate : float, optional
        For the calibrated threshold; else the model's.
    sensitivity : str, optional
        ``low``, ``default`` or ``high``, instead: half of the model's rate, or 1.5 times it.
    residual : str, optional
        Kind of residual; else the model's.
    min_volume_mm3 : float, optional
        Smallest finding; else the model's.
    brain_mask : path or Nifti1Image, optional
        On the grid of the image; else a network finds the brain.
    skull_stripped : bool
        The image shows nothing but brain.
    device : str
        ``auto``, ``cpu`` or ``cuda[:N]``.
    threads : int
        CPU threads of networks; one and two gave the same results, byte for byte.
    seed : int
        Of the registration's samplers.

    Returns
    -------
    Result
        Maps, findings and measures.

    Raises
    ------
    ScanError
        When the image cannot be used.
    BundleError, DeviceError, UsageError
        When the model, the device or the options are not there or contradict each other.

    Examples
    --------
    >>> import uadbids
    >>> result = uadbids.detect("sub-01_FLAIR.nii.gz", model="dense3d")  # doctest: +SKIP
    >>> result.findings[["volume_ml", "location"]]  # doctest: +SKIP
    """
    folder = Path(tempfile.mkdtemp(prefix="uadbids_"))
    asked = {
        "threshold": threshold,
        "false_positive_rate": false_positive_rate,
        "sensitivity": sensitivity,
        "residual": residual,
        "min_volume_mm3": min_volume_mm3,
    }
    settings = {key: value for key, value in asked.items() if value is not None}
    try:
        # ITK decides on threads when it is first used, and on its seed at each registration.
        os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
        os.environ["ANTS_RANDOM_SEED"] = str(seed)
        from uadbids.model.inference import resolve_device

        compute = Compute(str(resolve_device(device)), threads)
        options = DetectOptions(_find(model), "", settings, compute)
        source = _file(image, folder / "image.nii.gz")
        mask = None if brain_mask is None else _file(brain_mask, folder / "mask.nii.gz")
        result = _detect(source, folder, options, mask, skull_stripped, seed)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
    return result


def _find(model: str | os.PathLike[str]) -> Path:
    """Find a bundle; a text may be a name, a path is none."""
    return find_bundle(model if isinstance(model, str) else Path(model))


def _file(image: Image, path: Path) -> Path:
    """Return the file of an image; one in memory is written."""
    if isinstance(image, str | os.PathLike):
        return Path(image).absolute()
    nib.save(image, path)
    return path


def _detect(
    source: Path,
    folder: Path,
    options: DetectOptions,
    mask: Path | None,
    skull_stripped: bool,
    seed: int,
) -> Result:
    from uadbids.pipeline.derive import judged, output_files, to_native_space
    from uadbids.pipeline.detect import detect as detect_file
    from uadbids.pipeline.preprocess import preprocess
    from uadbids.preproc.hd_bet import find_weights, weights_sha256

    card = verify_bundle(options.bundle)
    weights = find_weights(None) if mask is None else None
    asked = PreprocessOptions(
        PreprocConfig.from_dict(card.preproc),
        "auto" if mask is None else "mask",
        weights,
        weights_sha256(weights) if weights else "",
        seed,
        compute=options.compute,
    )
    parts = [folder / name for name in ("template", "found", "native")]
    for part in parts:
        part.mkdir()
    scan = preprocess(source, parts[0], asked, skull_stripped=skull_stripped, given_mask=mask)
    found = detect_file(scan, parts[1], options)
    native = to_native_space(scan, found, parts[2])
    facts = scan.facts + found.facts + native.facts
    values, summary = judged(facts, card.training.get("brain_mask_methods", ())).for_sidecars()
    files = {"source": scan.source, **output_files(scan, found, native)}
    rows = pd.DataFrame(native.findings, columns=list(COMPONENT_COLUMNS)).set_index("index")
    return Result(
        native=read_images(files, "native"),
        template=read_images(files, "template"),
        findings=rows,
        qc={**summary, **values},
        _files=files,
        _folder=folder,
    )


def load_model(name: str | os.PathLike[str] = "dense3d", *, device: str = "cpu") -> Bundle:
    """Load a model: its card, its network and its calibration.

    Parameters
    ----------
    name : str or path
        Name of a packaged model, or folder of a bundle.
    device : str
        ``auto``, ``cpu`` or ``cuda[:N]``.

    Returns
    -------
    Bundle
        ``card``, ``model`` (a torch module in evaluation mode), ``calibration``.

    Raises
    ------
    BundleError, DeviceError
        When there is no such model, it was altered, or the device is not there.

    Examples
    --------
    >>> import uadbids
    >>> uadbids.load_model("spatial2d").card.name
    'spatial2d'
    """
    return load_bundle(_find(name), device=device)
