"""The ways of making a map that are compared: the model, and what it must beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from uadbids.bids.derivatives import finished_scans
from uadbids.bids.scan import Scan
from uadbids.detection.residuals import INTENSITY, residual, residual_of
from uadbids.errors import UsageError
from uadbids.evaluation.baselines import Reference, equalised, robust_z, voxelwise_z
from uadbids.evaluation.cases import Detection, TemplateSide, read_template_side

EQUALISED = "equalised intensity"
ROBUST_Z = "robust z of intensity"
VOXELWISE = "voxel-wise mean and SD"
# One left out, two must remain to have a spread.
LEAST_HEALTHY = 3

Scores = Callable[[TemplateSide], np.ndarray]


@dataclass(frozen=True)
class Method:
    """One way of making a map.

    Attributes
    ----------
    name : str
        In the tables.
    scores : callable
        Map on the template grid, larger where more abnormal.
    threshold : float or None
        Found without labels of the scans that are evaluated. None where there is none; the model
        has one in the sidecar of each scan.
    is_model : bool
        Whether it is the model as it was run.
    in_intensity : bool
        Whether the map is a plain residual, in units of the scaled intensity: the model's own, or
        `plain_residual`.
    boundary : float
        Where small findings end (`postprocess.segment`): part of the model's own detection.
    """

    name: str
    scores: Scores
    threshold: float | None = None
    is_model: bool = False
    in_intensity: bool = False
    boundary: float = 0.0


def model_of(scans: Sequence[Scan]) -> Method:
    """Return the model that made the maps.

    Raises
    ------
    UsageError
        If they come from more than one: their thresholds cannot be compared.
    """
    names = {(scan.metadata.get("Model"), scan.metadata.get("ModelSHA256")) for scan in scans}
    kinds = {scan.metadata.get("ResidualKind") for scan in scans}
    if len(names) > 1 or len(kinds) > 1:
        raise UsageError(
            "the maps were made by more than one model or kind of residual "
            f"({', '.join(sorted(str(name) for name, _ in names))}); evaluate each on its own"
        )
    ((name, _),) = names
    kind = residual_of(scans[0].metadata)
    return Method(
        str(name or "model"),
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
    return Method(f"{model.name}, plain residual", _plain_residual, in_intensity=True)


def _plain_residual(side: TemplateSide) -> np.ndarray:
    return residual(side.volume, side.reconstruction, side.seen)


def baselines(maps_dir: Path, healthy_dir: Path | None, detection: Detection) -> list[Method]:
    """Return the baselines; with healthy scans, their label-free thresholds and the voxel-wise one.

    A baseline's threshold is exceeded by as many voxels of the healthy scans as the model's own,
    so that all are compared at one false-positive rate.

    Parameters
    ----------
    maps_dir : Path
        The outputs that are evaluated.
    healthy_dir : Path, optional
        Outputs of the same model for healthy scans that are not among them.
    detection : Detection
        Of the model.

    Returns
    -------
    list of Method
        Two, or three with healthy scans.

    Raises
    ------
    UsageError
        If the healthy scans are too few, lack the template space, or come from another model.
    """
    by_intensity: dict[str, Scores] = {
        EQUALISED: lambda side: equalised(side.volume, side.brain),
        ROBUST_Z: lambda side: robust_z(side.volume, side.brain),
    }
    if healthy_dir is None:
        return [Method(name, scores) for name, scores in by_intensity.items()]
    healthy = _healthy_scans(maps_dir, healthy_dir)
    marked = _marked(healthy, healthy_dir, detection)
    reference = Reference(next(_sides(healthy, healthy_dir, detection))[1].volume.shape)
    highest: dict[str, np.ndarray] = dict.fromkeys((*by_intensity, VOXELWISE), np.empty(0))
    for _, side in _sides(healthy, healthy_dir, detection):
        reference.add(side.volume, side.brain)
        for name, scores in by_intensity.items():
            highest[name] = _highest(highest[name], scores(side)[side.examined], marked + 1)
    against: Scores = partial(_voxelwise, reference=reference)
    for _, side in _sides(healthy, healthy_dir, detection):
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


def _voxelwise(side: TemplateSide, reference: Reference) -> np.ndarray:
    return voxelwise_z(side.volume, side.brain, reference)


def _healthy_scans(maps_dir: Path, healthy_dir: Path) -> list[Scan]:
    if healthy_dir.resolve() == maps_dir.resolve():
        raise UsageError("--healthy-maps: give other scans than those that are evaluated")
    healthy = finished_scans(healthy_dir)
    if len(healthy) < LEAST_HEALTHY:
        raise UsageError(
            f"--healthy-maps {healthy_dir}: {len(healthy)} finished scans are in it, at least "
            f"{LEAST_HEALTHY} are needed"
        )
    evaluated = finished_scans(maps_dir)
    if model_of(healthy).name != model_of(evaluated).name or _made_by(healthy) != _made_by(
        evaluated
    ):
        raise UsageError(
            f"--healthy-maps {healthy_dir}: made by another model than {maps_dir}; run uadbids "
            "participant on the healthy scans with the same --model and --residual"
        )
    return healthy


def _made_by(scans: Sequence[Scan]) -> tuple[object, object]:
    told = scans[0].metadata
    return told.get("ModelSHA256"), told.get("ResidualKind")


def _sides(
    healthy: Sequence[Scan], healthy_dir: Path, detection: Detection
) -> Iterator[tuple[Scan, TemplateSide]]:
    """Read one scan after the other: a cohort does not fit into memory."""
    for scan in healthy:
        side = read_template_side(scan, healthy_dir, detection)
        if side is None:
            raise UsageError(
                f"--healthy-maps {healthy_dir}: {scan.name} has no outputs in template space; run "
                "uadbids participant with --output-spaces orig template"
            )
        yield scan, side


def _marked(healthy: Sequence[Scan], healthy_dir: Path, detection: Detection) -> int:
    """Count the examined voxels of healthy scans that exceed the model's threshold."""
    marked = 0
    for scan, side in _sides(healthy, healthy_dir, detection):
        marked += int(np.count_nonzero(side.anomaly[side.examined] > scan.metadata["Threshold"]))
    if not marked:
        raise UsageError(
            f"--healthy-maps {healthy_dir}: no voxel exceeds the model's threshold, so no "
            "baseline can be held to the same rate; give more scans"
        )
    return marked


def _highest(known: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Keep the highest of all values seen: no more of a cohort is needed, or fits."""
    pooled = np.concatenate([known, values])
    return pooled if pooled.size <= count else np.partition(pooled, -count)[-count:]
