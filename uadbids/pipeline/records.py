"""What the three functions of a scan are asked for, and what they hand on; no engine is imported.

The representation of these objects is what a cache compares: what has no say in a result (threads,
whose turn it is) is left out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uadbids.preproc.config import PreprocConfig
from uadbids.qc.facts import Facts


@dataclass(frozen=True)
class Compute:
    """Where networks run.

    Attributes
    ----------
    device : str
        ``cpu`` or ``cuda[:N]``. Results differ: on a GPU, HD-BET also looks at mirror images.
    threads : int
        CPU threads.
    turn : Path or None
        Folder that a process holds alone while its network is on the GPU: memory is the limit.
    """

    device: str = "cpu"
    threads: int = field(default=1, repr=False)
    turn: Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PreprocessOptions:
    """How scans are brought to the template grid.

    Attributes
    ----------
    config : PreprocConfig
        Settings of the model that will see the volumes.
    skull_strip : str
        ``auto``, ``hd-bet``, ``deepbet``, ``mask`` or ``none``.
    hd_bet_weights : Path or None
        Folder with HD-BET's weights.
    hd_bet_sha256 : str
        Hash of these weights.
    seed : int
        Of ITK's samplers, which take it from the environment.
    engines : tuple of str
        Versions of what extracts brains, corrects intensities and registers.
    compute : Compute
        Where the brain is extracted.
    """

    config: PreprocConfig
    skull_strip: str = "auto"
    hd_bet_weights: Path | None = None
    hd_bet_sha256: str = ""
    seed: int = 20210301
    engines: tuple[str, ...] = ()
    compute: Compute = Compute()


@dataclass(frozen=True)
class Preprocessed:
    """A scan on the template grid.

    Attributes
    ----------
    source : Path
        The scan as it was found.
    conformed, brain : Path
        The scan in RAS order, and its brain mask.
    xfm, affine : Path
        ITK transform that maps points of the template to the scan, and the affine one that it comes
        from.
    volume, mask : Path
        Values in [0, 1] and brain mask on the template grid, (170, 204, 170) voxels.
    facts : Facts
        What was measured.
    """

    source: Path
    conformed: Path
    brain: Path
    xfm: Path
    affine: Path
    volume: Path
    mask: Path
    facts: Facts


@dataclass(frozen=True)
class DetectOptions:
    """Which model, and what is wanted otherwise than its card says.

    Attributes
    ----------
    bundle : Path
        Folder of the bundle.
    identity : str
        Hash of the card.
    settings : mapping
        Of ``threshold``, ``false_positive_rate``, ``residual``, ``min_volume_mm3`` those given.
    compute : Compute
        Where the model runs.
    """

    bundle: Path
    identity: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    compute: Compute = Compute()


@dataclass(frozen=True)
class Detected:
    """What a model found, on the template grid.

    Attributes
    ----------
    files : mapping of str to Path
        ``recon``, ``anomaly``, ``lesions``, ``components`` and, where calibrated, ``score``.
    facts : Facts
        Threshold and where it came from, kind of residual, share of the brain examined.
    """

    files: Mapping[str, Path]
    facts: Facts


@dataclass(frozen=True)
class DeriveOptions:
    """Where outputs go and what is said in all of them.

    Attributes
    ----------
    output_dir : Path
        Root of the output dataset.
    bundle : Path
        Folder of the model; only its card is read.
    spaces : tuple of str
        ``orig`` (always written), ``template``.
    facts : Facts
        Of the run: version, model, seed.
    trained_with : tuple of str
        Brain mask methods of the model's training.
    """

    output_dir: Path
    bundle: Path
    spaces: tuple[str, ...]
    facts: Facts = field(default_factory=Facts)
    trained_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Native:
    """What was found, on the scan's own grid.

    Attributes
    ----------
    files : mapping of str to Path
        ``native_anomaly``, ``native_score`` (where calibrated), ``native_components``,
        ``native_lesions``, ``native_brain``.
    findings : list of dict
        One row for each: index, volume, scores, centre of mass in scanner millimetres, place.
    facts : Facts
        Volumes in ml, counts.
    """

    files: Mapping[str, Path]
    findings: list[dict[str, Any]]
    facts: Facts


@dataclass(frozen=True)
class HealthyOptions:
    """What counts as unhealthy in a cohort to learn from.

    Attributes
    ----------
    bright_z : float or None
        Robust z from which a voxel is too bright for healthy tissue, where there is no lesion mask;
        None to take all for healthy.
    margin : int
        Voxels around a lesion whose residual is not healthy either.
    seed : int
        Of the noise in filled lesions.
    """

    bright_z: float | None = None
    margin: int = 2
    seed: int = 20210301
