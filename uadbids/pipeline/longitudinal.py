"""One participant's sessions compared, drawn and written into the dataset."""

from __future__ import annotations

from pathlib import Path

from uadbids.bids.longitudinal import write_comparison
from uadbids.pipeline.common_space import Session
from uadbids.pipeline.follow_up import follow_up
from uadbids.pipeline.records import LongitudinalOptions
from uadbids.reports.longitudinal_figures import draw_sessions


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
