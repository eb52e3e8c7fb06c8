"""The ways of making a map that are compared: the model, and what it must beat."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from uadbids.bids.derivatives import finished_scans
from uadbids.bids.scan import FinishedScan
from uadbids.detection.hyperintensity import robust_z
from uadbids.detection.postprocess import AT_THRESHOLD, Boundary
from uadbids.detection.residuals import INTENSITY, residual, residual_of
from uadbids.errors import UsageError
from uadbids.evaluation.cases import Detection, TemplateSide, read_template_side
from uadbids.evaluation.reference import Reference, voxelwise_z

Floats = npt.NDArray[np.float32]
Scores = Callable[[TemplateSide], np.ndarray]

EQUALISED = "equalised intensity"
ROBUST_Z = "robust z of intensity"
VOXELWISE = "voxel-wise mean and SD"
# One left out, two must remain to have a spread.
LEAST_HEALTHY = 3


@dataclass(frozen=True)
class Method:
    """One way of making a map."""

    name: str  # in the tables
    scores: Scores  # map on the template grid, larger where more abnormal
    # Found without labels of the scans that are evaluated, if there is one; the model's are in the
    # sidecars.
    threshold: float | None = None
    is_model: bool = False  # the model as it was run
    # A plain residual, in units of the scaled intensity: the model's own, or `plain_residual`.
    in_intensity: bool = False
    # Where small findings end (`postprocess.segment`): part of the model's own detection.
    boundary: Boundary = AT_THRESHOLD


def model_of(scans: Sequence[FinishedScan]) -> Method:
    """Return the model that made the maps; UsageError if more than one did.

    Their thresholds could not be compared.
    """
    names = {scan.metadata.get("Model") for scan in scans}
    if len(set(map(_made_by, scans))) > 1 or len(names) > 1:
        raise UsageError(
            "the maps were made by more than one model or kind of residual "
            f"({', '.join(sorted(map(str, names)))}); evaluate each on its own"
        )
    kind = residual_of(scans[0].metadata)
    return Method(
        str(names.pop() or "model"),
        lambda side: side.anomaly,
        is_model=True,
        in_intensity=kind.unit == INTENSITY,
        boundary=kind.boundary,
    )


def plain_residual(model: Method) -> Method:
    """Return the paper's own map of the same model: the positive part of ``x - x^``, unsmoothed.

    Where the model's map is another one, this is the method that the paper's thresholds and its
    Table 1 are about.
    """
    return Method(
        f"{model.name}, plain residual",
        lambda side: residual(side.volume, side.reconstruction, side.seen),
        in_intensity=True,
    )


def equalised(volume: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> Floats:
    """Histogram-equalised intensity (Meissen et al. 2021).

    The share of the brain's voxels that are not brighter, in (0, 1], float32; 0 outside the mask.
    Thresholding it beats many published autoencoders on FLAIR, since lesions are simply bright.
    """
    ranks = np.zeros(volume.shape, dtype=np.float32)
    ranks[mask] = rankdata(volume[mask], method="max") / max(1, np.count_nonzero(mask))
    return ranks


def baselines(maps_dir: Path, healthy_dir: Path | None, detection: Detection) -> list[Method]:
    """Return the baselines; with healthy scans, their label-free thresholds and the voxel-wise one.

    A baseline's threshold is exceeded by as many voxels of the healthy scans as the model's own,
    so that all are compared at one false-positive rate. Folders are the outputs that are evaluated,
    and those of the same model for healthy scans, if any; UsageError if these are too few, lack the
    template space, or come from another model.
    """
    by_intensity: dict[str, Scores] = {
        EQUALISED: lambda side: equalised(side.volume, side.brain),
        ROBUST_Z: lambda side: robust_z(side.volume, side.brain),
    }
    if healthy_dir is None:
        return [Method(name, scores) for name, scores in by_intensity.items()]
    healthy = _healthy_scans(maps_dir, healthy_dir)
    sides = partial(_sides, healthy, healthy_dir, detection)
    marked = sum(
        int(np.count_nonzero(side.anomaly[side.examined] > scan.metadata["Threshold"]))
        for scan, side in sides()
    )
    if not marked:
        raise UsageError(
            f"--healthy-maps {healthy_dir}: no voxel exceeds the model's threshold, so no "
            "baseline can be held to the same rate; give more scans"
        )
    reference = Reference(next(sides())[1].volume.shape)
    highest: dict[str, np.ndarray] = dict.fromkeys((*by_intensity, VOXELWISE), np.empty(0))
    for _, side in sides():
        reference.add(side.volume, side.brain)
        for name, scores in by_intensity.items():
            highest[name] = _highest(highest[name], scores(side)[side.examined], marked + 1)

    def against(side: TemplateSide) -> np.ndarray:
        return voxelwise_z(side.volume, side.brain, reference)

    for _, side in sides():
        # A scan among its own reference looks more normal than a new one will.
        reference.remove(side.volume, side.brain)
        values = against(side)[side.examined]
        highest[VOXELWISE] = _highest(highest[VOXELWISE], values, marked + 1)
        reference.add(side.volume, side.brain)
    # The lowest of one more than were marked: as many exceed it.
    return [
        Method(name, scores, float(highest[name].min()))
        for name, scores in (*by_intensity.items(), (VOXELWISE, against))
    ]


def _healthy_scans(maps_dir: Path, healthy_dir: Path) -> list[FinishedScan]:
    if healthy_dir.resolve() == maps_dir.resolve():
        raise UsageError("--healthy-maps: give other scans than those that are evaluated")
    healthy = finished_scans(healthy_dir)
    if len(healthy) < LEAST_HEALTHY:
        raise UsageError(
            f"--healthy-maps {healthy_dir}: {len(healthy)} finished scans are in it, at least "
            f"{LEAST_HEALTHY} are needed"
        )
    evaluated = finished_scans(maps_dir)
    same = model_of(healthy).name == model_of(evaluated).name
    if not same or _made_by(healthy[0]) != _made_by(evaluated[0]):
        raise UsageError(
            f"--healthy-maps {healthy_dir}: made by another model than {maps_dir}; run uadbids "
            "participant on the healthy scans with the same --model and --residual"
        )
    return healthy


def _made_by(scan: FinishedScan) -> tuple[object, object]:
    return scan.metadata.get("ModelSHA256"), scan.metadata.get("ResidualKind")


def _sides(
    healthy: Sequence[FinishedScan], healthy_dir: Path, detection: Detection
) -> Iterator[tuple[FinishedScan, TemplateSide]]:
    """Read one scan after the other: a cohort does not fit into memory."""
    for scan in healthy:
        side = read_template_side(scan, healthy_dir, detection)
        if side is None:
            raise UsageError(
                f"--healthy-maps {healthy_dir}: {scan.name} has no outputs in template space; run "
                "uadbids participant with --output-spaces orig template"
            )
        yield scan, side


def _highest(known: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Keep the highest of all values seen: no more of a cohort is needed, or fits."""
    pooled = np.concatenate([known, values])
    return pooled if pooled.size <= count else np.partition(pooled, -count)[-count:]
