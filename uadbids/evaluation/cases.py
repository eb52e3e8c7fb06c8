"""One scan to evaluate: what was drawn, what was found, and what the model saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from uadbids.bids.dataset import MODEL_CARD
from uadbids.bids.files import read_json
from uadbids.bids.names import derivative_path
from uadbids.bids.scan import FinishedScan
from uadbids.detection.erosion import examined_part
from uadbids.detection.postprocess import Boundary, Spacing, segment
from uadbids.detection.residuals import residual_of
from uadbids.errors import ScanError, UsageError
from uadbids.evaluation.images import Way, read_mask
from uadbids.evaluation.metrics import confusion
from uadbids.evaluation.pairs import Pair
from uadbids.model.grid import Crop
from uadbids.preproc.volume import Volume, read_canonical

_ISOTROPIC = (1.0, 1.0, 1.0)
# Below this share inside the brain, a mask is more likely another person's.
_LEAST_IN_BRAIN = 0.5
# Two ways of cutting one map differ by rounding alone.
_SAME_FINDINGS = 0.99


@dataclass(frozen=True)
class Detection:
    """How the model that made the maps looks for findings, as its card says."""

    crop: Crop
    erosion_mm: float
    min_volume_mm3: float


@dataclass(frozen=True)
class Reading:
    """How cases are read."""

    maps_dir: Path  # outputs of ``uadbids participant``
    detection: Detection  # of their model
    # Where everything is counted: on the scan's own grid ('orig'), or inside the model's crop of
    # the template grid ('template'), as the paper does.
    space: str = "orig"
    # Values of a mask that are lesion; empty for all above 0.
    mask_values: frozenset[int] = frozenset()
    # Masks on other grids than the scan's are resampled instead of refused.
    resample_masks: bool = False


@dataclass(frozen=True)
class TemplateSide:
    """What the model saw and gave on the template grid: arrays (170, 204, 170), float32 or bool."""

    volume: np.ndarray  # input of the model
    reconstruction: np.ndarray
    anomaly: np.ndarray  # map
    brain: np.ndarray
    seen: np.ndarray  # part of the brain that the model sees
    examined: np.ndarray  # where findings are looked for
    affine: np.ndarray  # voxel to millimetre
    min_volume_mm3: float  # smallest finding

    def findings(self, scores: np.ndarray, threshold: float, boundary: Boundary) -> np.ndarray:
        """Cut a map on this grid just as detection does (`postprocess.segment`)."""
        found = segment(
            scores,
            self.examined,
            threshold=threshold,
            min_volume_mm3=self.min_volume_mm3,
            spacing=_ISOTROPIC,
            boundary=boundary,
        )
        return found > 0


@dataclass(frozen=True)
class Case:
    """A scan to evaluate; arrays are on the grid of the evaluation unless said otherwise."""

    scan: FinishedScan  # entities and sidecar
    references: Mapping[str, np.ndarray]  # lesions (bool), by the name of who drew them
    # The same on the template grid; empty without outputs there.
    on_template: Mapping[str, np.ndarray]
    found: np.ndarray  # mask of findings, brain mask and map (float32) as they were written
    brain: np.ndarray
    anomaly: np.ndarray
    spacing: Spacing  # mm
    threshold: float  # of the model, on its map
    side: TemplateSide | None  # None where the template space was not written
    # Bring a mask (nearest voxel) or a map (linear) from the template grid.
    labels: Callable[[np.ndarray], np.ndarray]
    values: Callable[[np.ndarray], np.ndarray]
    notes: tuple[str, ...] = ()  # what a reader should know


def read_detection(maps_dir: Path) -> Detection:
    """Read from the card in the output dataset how its model looks for findings.

    UsageError if the card is missing or incomplete.
    """
    card = read_json(maps_dir / MODEL_CARD) or {}
    try:
        crop = Crop(tuple(card["crop"]["start"]), tuple(card["crop"]["shape"]))
        settings = card["detection"]
        return Detection(crop, float(settings["erosion_mm"]), float(settings["min_volume_mm3"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{maps_dir / MODEL_CARD}: the card of the model is missing or incomplete; give the "
            "output folder of uadbids participant"
        ) from error


def read_case(pair: Pair, how: Reading) -> Case:
    """Read everything of one scan.

    ScanError if a file is missing or damaged, a mask is no mask, or lies elsewhere than its scan.
    """
    scan = pair.scan

    def read(key: str) -> Volume:
        return read_canonical(how.maps_dir / derivative_path(scan, key))

    threshold = scan.metadata.get("Threshold")
    if not isinstance(threshold, int | float):
        raise ScanError(f"{scan.mask}: its sidecar has no Threshold; run the scan again")
    found = read_canonical(scan.mask)
    drawn: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for name, path in pair.masks.items():
        drawn[name], doubts = read_mask(path, found, how.mask_values, resample=how.resample_masks)
        notes += [f"{path.name}: {sentence}" for sentence in doubts]
    side = read_template_side(scan, how.maps_dir, how.detection)
    way = None
    if side is not None:
        xfm = how.maps_dir / derivative_path(scan, "xfm")
        way = Way(xfm, found, Volume(side.volume, side.affine))
    on_template = {n: way.lesions_to_template(mask) for n, mask in drawn.items()} if way else {}
    if how.space == "orig":
        case = Case(
            scan, drawn, on_template, found.data > 0, read("native_brain").data > 0,
            read("native_anomaly").data.astype(np.float32), found.spacing, float(threshold), side,
            way.labels if way else np.asarray, way.values if way else np.asarray,
        )  # fmt: skip
    elif side is not None:
        cut = how.detection.crop.apply
        written = read("template_lesions").data > 0
        case = Case(
            scan, {n: cut(mask) for n, mask in on_template.items()}, on_template, cut(written),
            cut(side.brain), cut(side.anomaly), _ISOTROPIC, float(threshold), side, cut, cut,
        )  # fmt: skip
    else:
        raise ScanError(f"{scan.name}: the template space was not written; give --space orig")
    return replace(case, notes=(*notes, *_doubts(case)))


def read_template_side(
    scan: FinishedScan, maps_dir: Path, detection: Detection
) -> TemplateSide | None:
    """Read the outputs of a scan on the template grid; None where they were not written."""
    keys = ("preproc", "recon", "anomaly", "brain")
    paths = [maps_dir / derivative_path(scan, f"template_{key}") for key in keys]
    if not all(path.is_file() for path in paths):
        return None
    volume, recon, anomaly, brain = (read_canonical(path) for path in paths)
    mask = brain.data > 0
    x, y, z = mask.shape
    whole = residual_of(scan.metadata).needs_reader
    return TemplateSide(
        volume.data.astype(np.float32),
        recon.data.astype(np.float32),
        anomaly.data.astype(np.float32),
        mask,
        mask & detection.crop.mask((x, y, z)),
        examined_part(mask, detection.erosion_mm, None if whole else detection.crop),
        volume.affine,
        float(scan.metadata.get("MinVolumeMm3", detection.min_volume_mm3)),
    )


def _doubts(case: Case) -> list[str]:
    """Say what makes a pair or its figures doubtful."""
    doubts = []
    for name, mask in case.references.items():
        share = float((mask & case.brain).sum() / mask.sum()) if mask.any() else 1.0
        if share < _LEAST_IN_BRAIN:
            doubts.append(
                f"{name}: only {100 * share:.0f} % of the lesion voxels lie in the brain mask; "
                "is it the mask of this scan?"
            )
    if case.side is None:
        doubts.append("the template space was not written: no other thresholds, no baselines")
    else:
        boundary = residual_of(case.scan.metadata).boundary
        again = case.labels(case.side.findings(case.side.anomaly, case.threshold, boundary))
        if confusion(again, case.found).dice < _SAME_FINDINGS:
            doubts.append(
                "the mask of findings cannot be made again from map and threshold: other "
                "settings than the model's; other thresholds are not quite comparable with it"
            )
    return doubts
