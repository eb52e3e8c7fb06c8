"""What the three functions of a scan are asked for, and what they hand on; no engine is imported.

The representation of these objects is what a cache compares: what has no say in a result (threads,
whose turn it is) is left out of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uadbids.bids.scan import FinishedScan
from uadbids.preproc.config import PreprocConfig
from uadbids.qc.facts import Facts


@dataclass(frozen=True)
class Compute:
    """Where networks run."""

    # "cpu" or "cuda[:N]". Results differ: on a GPU, HD-BET also looks at mirror images.
    device: str = "cpu"
    threads: int = field(default=1, repr=False)  # of the CPU
    # Folder that a process holds alone while its network is on the GPU: memory is the limit.
    turn: Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PreprocessOptions:
    """How scans are brought to the template grid."""

    config: PreprocConfig  # settings of the model that will see the volumes
    skull_strip: str = "auto"  # or "hd-bet", "deepbet", "mask", "none"
    hd_bet_weights: Path | None = None  # folder
    hd_bet_sha256: str = ""  # of these weights
    seed: int = 20210301  # of ITK's samplers, which take it from the environment
    engines: tuple[str, ...] = ()  # versions of what extracts brains, corrects and registers
    compute: Compute = Compute()  # where the brain is extracted


@dataclass(frozen=True)
class Preprocessed:
    """A scan on the template grid, (170, 204, 170) voxels."""

    source: Path  # the scan as it was found
    conformed: Path  # the scan in RAS order
    brain: Path  # brain mask of `conformed`
    xfm: Path  # ITK transform (rigid) that maps points of the template to the scan
    affine: Path  # the affine transform that `xfm` comes from
    volume: Path  # values in [0, 1] on the template grid
    mask: Path  # brain mask on the template grid
    facts: Facts  # what was measured


@dataclass(frozen=True)
class DetectOptions:
    """Which model, and what is wanted otherwise than its card says."""

    bundle: Path  # folder
    identity: str = ""  # hash of the card
    # Of the settings of `detection.detect.detect` those given.
    settings: Mapping[str, Any] = field(default_factory=dict)
    compute: Compute = Compute()  # where the model runs


@dataclass(frozen=True)
class Detected:
    """What a model found, on the template grid."""

    # `recon`, `anomaly`, `lesions`, `components` and, where calibrated, `score`.
    files: Mapping[str, Path]
    facts: Facts  # threshold and where it came from, kind of residual, share of brain examined


@dataclass(frozen=True)
class DeriveOptions:
    """Where outputs go and what is said in all of them."""

    output_dir: Path  # root of the output dataset
    bundle: Path  # folder of the model; only its card is read
    spaces: tuple[str, ...]  # "orig" (always written), "template"
    facts: Facts = field(default_factory=Facts)  # of the run: version, model, seed
    trained_with: tuple[str, ...] = ()  # brain mask methods of the model's training
    keep_artefacts: bool = True  # in images; tables always hold them


@dataclass(frozen=True)
class Native:
    """What was found, on the scan's own grid."""

    # `native_anomaly`, `native_score` (where calibrated), `native_components`, `native_lesions`,
    # `native_brain`; `template_components` and `template_lesions`, renumbered alike.
    files: Mapping[str, Path]
    # One row for each: index, volume, scores, centre of mass in scanner millimetres, place.
    findings: list[dict[str, Any]]
    facts: Facts  # volumes in ml, counts


@dataclass(frozen=True)
class LongitudinalOptions:
    """Which sessions, with which settings, and where outputs go."""

    output_dir: Path  # root of the output dataset
    scans: tuple[FinishedScan, ...]  # in the order of time
    config: PreprocConfig  # with which they were preprocessed
    detect: DetectOptions  # with which they were examined
    facts: Facts = field(default_factory=Facts)  # of the run: version, model, seed


@dataclass(frozen=True)
class HealthyOptions:
    """What counts as unhealthy in a cohort to learn from."""

    # Robust z from which a voxel is too bright for healthy tissue, where there is no lesion mask;
    # None to take all for healthy.
    bright_z: float | None = None
    margin: int = 2  # voxels around a lesion whose residual is not healthy either
    seed: int = 20210301  # of the noise in filled lesions
