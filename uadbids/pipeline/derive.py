"""What was found, on the voxels of the scan: measured, drawn, written into the dataset."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from uadbids.bids.derivatives import SOURCE_HASH, write_scan
from uadbids.bids.files import file_sha256
from uadbids.bids.scan import Scan
from uadbids.errors import ScanError
from uadbids.pipeline.findings import list_findings, summarise, to_average_brain
from uadbids.pipeline.records import DeriveOptions, Detected, Native, Preprocessed
from uadbids.preproc.display import display_of
from uadbids.preproc.resample import to_scan, write_like_source
from uadbids.preproc.template import Template
from uadbids.preproc.transform import read_transform
from uadbids.qc.facts import Facts, brain_mask_doubts, timed
from uadbids.reports.scan_figures import Alignment, draw_figures


def derive(
    raw: Scan, scan: Preprocessed, found: Detected, folder: Path, options: DeriveOptions
) -> list[Path]:
    """Put the outputs of one scan into the dataset, all or none; return the files written.

    `raw` names the outputs; `folder` exists, for files on the way. ScanError when the scan's file
    is not what it was when it was read.
    """
    native = to_native_space(scan, found, folder, keep_artefacts=options.keep_artefacts)
    files = output_files(scan, found, native)
    facts = options.facts + scan.facts + found.facts + native.facts
    facts = judged(facts, options.trained_with)
    with timed("figures") as seconds:
        figures = draw_figures(
            scan.source, files,
            rows=native.findings, alignment=alignment(scan),
            facts={**facts.values, "Flags": facts.flags}, bundle=options.bundle, folder=folder,
        )  # fmt: skip
    facts += Facts(seconds=seconds)
    _check_unchanged(raw.path, facts.values[SOURCE_HASH])
    if "template" not in options.spaces:
        files = {key: path for key, path in files.items() if not key.startswith("template_")}
    shown, summary = facts.for_sidecars()
    return write_scan(
        options.output_dir,
        raw,
        files,
        facts=shown,
        summary=summary,
        components=native.findings,
        figures=figures,
    )


def output_files(scan: Preprocessed, found: Detected, native: Native) -> dict[str, Path]:
    """Name the files of a scan as `names.DERIVATIVES` does."""
    return {
        "xfm": scan.xfm,
        **{f"template_{kind}": path for kind, path in found.files.items()},
        "template_preproc": scan.volume,
        "template_brain": scan.mask,
        **native.files,
    }


def alignment(scan: Preprocessed) -> Alignment:
    """Return how the scan, with its axes turned to RAS, lies to template and average brain."""
    to_scan = np.linalg.inv(nib.load(scan.conformed).affine) @ read_transform(scan.xfm)
    there = np.linalg.inv(to_scan @ Template.packaged().affine)
    return Alignment(there, to_average_brain(scan))


def judged(facts: Facts, trained_with: Sequence[str]) -> Facts:
    """Add what a person should look at; the model was trained with some methods of brain masks."""
    facts = facts.judged()
    return facts + brain_mask_doubts(facts.values, trained_with)


def to_native_space(
    scan: Preprocessed, found: Detected, folder: Path, *, keep_artefacts: bool = True
) -> Native:
    """Resample maps (linear) and components (nearest neighbour) to the grid of the scan.

    Volumes are counted in the scan's own voxels (see `list_findings`). Results go to `folder`,
    which exists.
    """
    kinds = [kind for kind in ("anomaly", "score", "components") if kind in found.files]
    names = [f"native_{kind}" for kind in (*kinds, "lesions", "brain")]
    names += ["template_lesions", "template_components"]
    files = {name: folder / f"{name}.nii.gz" for name in names}
    with timed("native_space") as seconds:
        for kind in kinds:
            to_scan(
                found.files[kind],
                scan.xfm,
                scan.conformed,
                scan.source,
                files[f"native_{kind}"],
                "labels" if kind == "components" else "map",
                display_of(kind, found.facts.values),
            )
        brain = np.asarray(nib.load(scan.brain).dataobj)
        write_like_source(brain, scan.source, files["native_brain"])
        findings = list_findings(scan, found, files, keep_artefacts=keep_artefacts)
    return Native(files, findings, Facts(summarise(findings), seconds=seconds))


def _check_unchanged(path: Path, sha256: str | None) -> None:
    """Refuse to write results of one image with the header of another."""
    if not path.is_file():
        raise ScanError(f"{path}: the file vanished while it was examined; nothing was written")
    if file_sha256(path) != sha256:
        raise ScanError(
            f"{path}: the file changed while it was examined; nothing was written. Run again"
        )
