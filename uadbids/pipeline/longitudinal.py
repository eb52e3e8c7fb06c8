"""One participant's sessions compared, drawn and written into the dataset.

A finding is new, enlarging, stable, shrinking or gone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uadbids.bids.longitudinal import write_comparison
from uadbids.detection.change import judge_change
from uadbids.detection.detect import Detection
from uadbids.detection.detect import detect as detect_in_volume
from uadbids.detection.families import Families, find_families
from uadbids.detection.postprocess import describe_components
from uadbids.detection.residuals import RESIDUALS
from uadbids.detection.tags import tag
from uadbids.model.bundle import load_bundle
from uadbids.pipeline.common_space import QUALITY, Session, to_common_space
from uadbids.pipeline.detect import inside_template
from uadbids.pipeline.findings import Judge
from uadbids.pipeline.preprocess import gpu_turn
from uadbids.pipeline.records import Detected, DetectOptions, LongitudinalOptions, Preprocessed
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.resample import to_scan
from uadbids.preproc.template import Template
from uadbids.preproc.volume import read_volume
from uadbids.qc.comparable import SessionQuality, coverage, fit, why_not_comparable
from uadbids.qc.facts import Facts
from uadbids.reports.longitudinal import draw_sessions

_SPACING = (1.0, 1.0, 1.0)
# Of a family's largest finding: with less examined in a session, nothing is said of it there.
_EXAMINED = 0.5


@dataclass(frozen=True)
class Compared:
    """What a comparison gives; images are files in its folder."""

    scans: tuple[Preprocessed, ...]  # on the common grid
    common: tuple[Path, ...]  # number of the family of each voxel, on the common grid
    native: tuple[Path, ...]  # the same on the grid of each session
    rows: list[dict[str, Any]]  # one a family and pair of sessions
    facts: dict[str, Any]  # of the comparison, in CamelCase keys


def compare_sessions(folder: Path, *, options: LongitudinalOptions, **files: Path) -> list[Path]:
    """Put the outputs of a comparison into the dataset, all or none; return the files written.

    ``files`` are ``source_0``, ``brain_0``, ``xfm_0`` of the first scan, and so on.
    """
    sessions = [
        Session(scan.name, *(files[f"{kind}_{number}"] for kind in ("source", "brain", "xfm")))
        for number, scan in enumerate(options.scans)
    ]
    found = follow_up(sessions, folder, options.config, options.detect)
    images = {
        "volume": [scan.volume for scan in found.scans],
        "common": found.common,
        "native": found.native,
    }
    figures = draw_sessions(
        [scan.name for scan in options.scans], images["volume"], found.common, found.rows, folder
    )
    return write_comparison(
        options.output_dir, options.scans, images, figures, found.rows,
        {**options.facts.values, **found.facts},
    )  # fmt: skip


def follow_up(
    sessions: Sequence[Session], folder: Path, config: PreprocConfig, options: DetectOptions
) -> Compared:
    """Compare the sessions of one person: at least two, in the order of time.

    Results go to `folder`, which exists; `config` and `options` are those with which the sessions
    were examined. ScanError when sessions could not be aligned, or a scan cannot be read.
    """
    scans = to_common_space(sessions, folder, config)
    found = _detect(scans, options)
    families = find_families(
        [one.anomaly_map for one in found],
        [one.examined for one in found],
        threshold=found[0].threshold,
        min_volume_mm3=found[0].min_volume_mm3,
        boundary=RESIDUALS[found[0].residual].boundary,
    )
    common, native = _images(scans, families)
    described = _describe(scans, found, families, common)
    rows, reasons = [], []
    for first, second in _pairs(len(sessions)):
        names = (sessions[first].name, sessions[second].name)
        reason = _reason(scans[first], scans[second])
        if reason:
            reasons.append({"from": names[0], "to": names[1], "reason": reason})
        rows += list(_rows(families, described, (first, second), names, bool(reason)))
    facts = {
        "Threshold": round(found[0].threshold, 6),
        "ThresholdSource": found[0].threshold_source,
        "ResidualKind": found[0].residual,
        "MinVolumeMm3": found[0].min_volume_mm3,
        "NotComparable": reasons,
        "SessionQuality": {
            session.name: {key: round(value, 4) for key, value in scan.facts.values.items()}
            for session, scan in zip(sessions, scans, strict=True)
        },
    }
    return Compared(tuple(scans), common, native, rows, facts)


def _pairs(count: int) -> list[tuple[int, int]]:
    """Every session and the next, and the first and last."""
    pairs = list(pairwise(range(count)))
    return pairs + [(0, count - 1)] * (count > 2)


def _detect(scans: Sequence[Preprocessed], options: DetectOptions) -> list[Detection]:
    torch.set_num_threads(options.compute.threads)
    found = []
    with gpu_turn(options.compute):
        bundle = load_bundle(options.bundle, device=options.compute.device)
        for scan in scans:
            mask = read_volume(scan.mask).data
            within = inside_template(scan, mask > 0)
            found.append(
                detect_in_volume(
                    read_volume(scan.volume).data, mask, bundle,
                    device=options.compute.device, within=within, **options.settings,
                )
            )  # fmt: skip
    return found


def _images(
    scans: Sequence[Preprocessed], families: Families
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    common, native = [], []
    for scan, labels in zip(scans, families.labels, strict=True):
        here = scan.volume.with_name("families.nii.gz")
        there = scan.volume.with_name("native_families.nii.gz")
        Template.packaged().save(labels, here)
        to_scan(here, scan.xfm, scan.conformed, scan.source, there, "labels")
        common.append(here)
        native.append(there)
    return tuple(common), tuple(native)


def _describe(
    scans: Sequence[Preprocessed],
    found: Sequence[Detection],
    families: Families,
    images: Sequence[Path],
) -> list[dict[str, Any]]:
    """Name and tag each family, in the session where it is largest."""
    largest = families.volume_mm3.argmax(axis=1)
    described: list[dict[str, Any]] = [{} for _ in largest]
    nowhere = np.zeros((1, 1, 1), dtype=bool)
    for session, (scan, one) in enumerate(zip(scans, found, strict=True)):
        anomaly = scan.volume.with_name("anomaly.nii.gz")
        Template.packaged().save(one.anomaly_map, anomaly)
        files = {"components": images[session], "anomaly": anomaly}
        judge = Judge(scan, Detected(files, Facts({"Threshold": one.threshold})))
        labels = families.labels[session]
        for part in describe_components(labels, one.anomaly_map, _SPACING):
            if largest[part.index - 1] != session:
                continue
            evidence = judge.look(part, labels, nowhere)
            tagged, centre = tag(evidence), judge.points(part).mean(axis=0)
            described[part.index - 1] = {
                "tag": tagged.name,
                "reason": tagged.reason,
                "location": evidence.place.words,
                **{
                    f"mni_{axis}_mm": round(float(v), 1)
                    for axis, v in zip("xyz", centre, strict=True)
                },
            }
    return described


def _reason(first: Preprocessed, second: Preprocessed) -> str:
    quality = [
        SessionQuality(**{name: scan.facts.values[key] for name, key in QUALITY.items()})
        for scan in (first, second)
    ]
    volumes = (read_volume(first.volume).data, read_volume(second.volume).data)
    brains = (read_volume(first.mask).data > 0, read_volume(second.mask).data > 0)
    return why_not_comparable(*quality, coverage=coverage(brains), fit=fit(volumes, brains))


def _rows(
    families: Families,
    described: Sequence[Mapping[str, Any]],
    pair: tuple[int, int],
    names: tuple[str, str],
    is_apart: bool,
) -> Iterator[dict[str, Any]]:
    first, second = pair
    for index, about in enumerate(described):
        volumes = families.volume_mm3[index]
        change = judge_change(
            volumes[first], volumes[second],
            was_present=bool(families.present[index, first]),
            is_present=bool(families.present[index, second]),
        )  # fmt: skip
        if change is None:
            continue
        unseen = families.examined_share[index, [first, second]].min() < _EXAMINED
        yield {
            "index": index + 1,
            "from": names[0],
            "to": names[1],
            "status": None if is_apart or unseen else change.status,
            "volume_from_ml": volumes[first] / 1000,
            "volume_to_ml": volumes[second] / 1000,
            "difference_ml": change.difference_mm3 / 1000,
            "limit_ml": round(change.limit_mm3 / 1000, 5),
            "findings_from": int(families.parts[index, first]),
            "findings_to": int(families.parts[index, second]),
            **about,
        }
