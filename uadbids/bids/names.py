"""The one table of every file that uadbids writes for a scan, and where each lies.

The order of the entities is that of the BIDS 1.11 schema (`chunk` stands after `space`); pybids
fills them into one pattern.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bids.layout.writing import build_path

from uadbids.bids.scan import NamedScan
from uadbids.errors import ScanError

TEMPLATE_SPACE = "UADBIDS"
TEMPLATE_T1W = PurePosixPath("tpl-UADBIDS/anat/tpl-UADBIDS_T1w.nii.gz")
TEMPLATE_MASK = PurePosixPath("tpl-UADBIDS/anat/tpl-UADBIDS_label-brain_mask.nii.gz")
VIEWER, THUMBNAIL = "viewer", "thumbnail"

_PATTERN = (
    "sub-{subject}[/ses-{session}]/anat/sub-{subject}[_ses-{session}][_task-{task}]"
    "[_acq-{acquisition}][_ce-{ceagent}][_rec-{reconstruction}][_run-{run}][_echo-{echo}]"
    "[_part-{part}][_space-{space}][_chunk-{chunk}][_seg-{segmentation}][_label-{label}]"
    "[_desc-{desc}][_from-{from}][_to-{to}][_mode-{mode}]_{suffix}{extension}"
)


@dataclass(frozen=True)
class Derivative:
    """One kind of output file."""

    entities: Mapping[str, str]  # pybids' names of those which are added to the scan's
    description: str  # what the file holds: voxel values, unit, range
    sources: tuple[str, ...]  # derivatives that it is made from, by key; "raw" is the scan itself
    tables: tuple[str, ...] = ()  # extensions of the tables that lie beside the image
    fields: Mapping[str, object] = field(default_factory=dict)  # that BIDS asks of its JSON

    @property
    def extensions(self) -> tuple[str, ...]:
        """Extensions of all files of this kind: the main one, the sidecar, the tables."""
        return (self.entities["extension"], ".json", *self.tables)


def _image(space: str, suffix: str, description: str, sources: str, **entities: str) -> Derivative:
    fields: dict[str, object] = {
        "SpatialReference": "orig" if space == "orig" else f"bids::{TEMPLATE_T1W}"
    }
    if suffix == "FLAIR":
        # Everything outside the brain mask is zero, in each of our images.
        fields |= {"SkullStripped": True, "Units": "arbitrary"}
    if suffix == "mask":
        fields["Type"] = "Brain" if entities.get("label") == "brain" else "Lesion"
    tables = (".tsv", ".txt") if suffix == "dseg" and space == "orig" else ()
    names = {"space": space, "suffix": suffix, "extension": ".nii.gz", **entities}
    return Derivative(names, description, tuple(sources.split()), tables, fields)


_ANOMALY = (
    "How abnormal each voxel is, by the ResidualKind: for 'reader' MAD-scaled robust z weighted by "
    "a probability of lesion, for 'tfce' and 'excess-z' robust z above what the healthy-brain "
    "model, tissue and place let expect ('reader' and 'tfce' are TFCE-enhanced), for 'positive', "
    "'signed' and 'abs' input minus reconstruction in units of the scaled intensity; 0 outside the "
    "brain"
)
_PREPROC = (
    "Input of the model: corrected for bias, rigidly aligned to the template, brain alone, scaled "
    "as the model card states"
)
_RECON = "What the healthy-brain model makes of its input, in the same units"
_SCORE = "Anomaly score calibrated on held-out healthy scans, from 0 to 1; 0 outside the brain"
_FOUND = "Voxels found anomalous: 1; all others: 0"
_BRAIN = "Voxels of the brain: 1; all others: 0"
_COMPONENTS = (
    "Findings, 26-connected components, numbered as in the index column of the table in the space "
    "of the scan; 0 is background"
)
_TO_NATIVE = ", resampled to native space, the grid of the scan"

_T = TEMPLATE_SPACE
DERIVATIVES: Mapping[str, Derivative] = {
    "template_brain": _image(_T, "mask", _BRAIN, "native_brain xfm", label="brain"),
    "template_preproc": _image(_T, "FLAIR", _PREPROC, "raw native_brain xfm", desc="preproc"),
    "template_recon": _image(_T, "FLAIR", _RECON, "template_preproc", desc="recon"),
    "template_anomaly": _image(
        _T, "FLAIR", _ANOMALY, "template_preproc template_recon template_brain", desc="anomaly"
    ),
    "template_score": _image(_T, "probseg", _SCORE, "template_anomaly", label="anomaly"),
    "template_lesions": _image(
        _T, "mask", _FOUND, "template_anomaly template_brain", label="anomaly"
    ),
    "template_components": _image(
        _T, "dseg", _COMPONENTS, "template_lesions", segmentation="anomaly"
    ),
    "native_brain": _image("orig", "mask", _BRAIN, "raw", label="brain"),
    "native_anomaly": _image(
        "orig", "FLAIR", _ANOMALY + _TO_NATIVE, "raw template_anomaly xfm", desc="anomaly"
    ),
    "native_score": _image(
        "orig", "probseg", _SCORE + _TO_NATIVE, "raw template_score xfm", label="anomaly"
    ),
    "native_components": _image(
        "orig", "dseg", _COMPONENTS, "native_lesions", segmentation="anomaly"
    ),
    "xfm": Derivative(
        {"from": "orig", "to": _T, "mode": "image", "suffix": "xfm", "extension": ".txt"},
        "Rigid transform in ITK's text format, which resamples an image of the scan's space on the "
        "template grid",
        ("raw",),
    ),
    # Last: its sidecar is the mark of a finished scan (see derivatives.py).
    "native_lesions": _image(
        "orig", "mask", _FOUND + _TO_NATIVE, "raw template_lesions xfm", label="anomaly"
    ),
}


def derivative_path(scan: NamedScan, key: str, extension: str | None = None) -> PurePosixPath:
    """Return where one output of a scan lies.

    The path starts at the root of the output dataset; ``extension`` is another one of this kind,
    ``".json"`` or ``".tsv"``. All entities of the scan are kept.

    KeyError if there is no such kind of output; ScanError if the scan carries an entity that has no
    place in the name of a derivative.
    """
    return path_of(scan, DERIVATIVES[key], extension)


def path_of(scan: NamedScan, derivative: Derivative, extension: str | None = None) -> PurePosixPath:
    """Return where a derivative of a scan lies; see `derivative_path`."""
    entities = {**scan.entities, **derivative.entities}
    if extension is not None:
        entities["extension"] = extension
    # strict: an unknown entity yields no path at all, where pybids would else leave it out.
    path = build_path(entities, [_PATTERN], strict=True)
    clash = scan.entities.keys() & derivative.entities.keys()
    if not isinstance(path, str) or clash:
        raise ScanError(
            f"{scan.file_name} has an entity that cannot stand in the name of a derivative; "
            "rename the file by the rules of BIDS for FLAIR images."
        )
    return PurePosixPath(path)


def figure_path(scan: NamedScan, kind: str) -> PurePosixPath:
    """Return where a figure of a scan lies: ``sub-01/figures/<name>_desc-<kind>_FLAIR.svg``.

    The images of the viewer, kind `VIEWER`, are JSON.
    """
    ending = {VIEWER: "json", "*": "*"}.get(kind, "svg")
    return PurePosixPath(f"sub-{scan.subject}/figures/{scan.name}_desc-{kind}_FLAIR.{ending}")


def report_path(subject: str) -> PurePosixPath:
    """Return where the page of a participant lies: ``sub-01.html``."""
    return PurePosixPath(f"sub-{subject}.html")


def log_dir(subject: str, run_uuid: str) -> PurePosixPath:
    """Return where the crash files of one run lie: ``sub-01/log/<run_uuid>``."""
    return PurePosixPath(f"sub-{subject}/log/{run_uuid}")


def follow_up_path(subject: str, extension: str) -> PurePosixPath:
    """Return where the table of a comparison lies: ``sub-01/sub-01_desc-longitudinal_findings``."""
    name = f"sub-{subject}_desc-longitudinal_findings{extension}"
    return PurePosixPath(f"sub-{subject}/{name}")


def follow_up_page(subject: str) -> PurePosixPath:
    """Return where the page of a comparison lies: ``sub-01_longitudinal.html``."""
    return PurePosixPath(f"sub-{subject}_longitudinal.html")


def follow_up_figure(scan: NamedScan) -> PurePosixPath:
    """Return where the picture of a session lies: ``sub-01/figures/<name>_longitudinal.svg``."""
    return PurePosixPath(f"sub-{scan.subject}/figures/{scan.name}_longitudinal.svg")


def scans_table_path(subject: str, session: str | None) -> PurePosixPath:
    """Return where the volumes per scan lie: ``sub-01[/ses-1]/sub-01[_ses-1]_scans.tsv``."""
    folder, name = f"sub-{subject}", f"sub-{subject}"
    if session:
        folder, name = f"{folder}/ses-{session}", f"{name}_ses-{session}"
    return PurePosixPath(f"{folder}/{name}_scans.tsv")
