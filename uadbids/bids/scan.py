"""One FLAIR image of a BIDS dataset: its place, its entities, and what stands in its way."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Short key in a file name -> pybids' name, in the order of the BIDS schema: the entities which
# BIDS 1.11 allows on a FLAIR, and on the images derived from one.
ENTITIES = {
    "sub": "subject", "ses": "session", "task": "task", "acq": "acquisition", "ce": "ceagent",
    "rec": "reconstruction", "run": "run", "echo": "echo", "part": "part", "chunk": "chunk",
}  # fmt: skip
# Upper and lower case as it comes: a wrong name is to be refused, not to be overlooked.
IMAGE_NAME = re.compile(r"(.+)_FLAIR\.nii(\.gz)?", re.IGNORECASE)
_INDICES = frozenset({"run", "echo", "chunk"})
_NOT_MAGNITUDE = frozenset({"phase", "real", "imag"})


class NamedScan:
    """What the name of a scan's file says of it, raw or finished."""

    entities: Mapping[str, str]

    @property
    def file_name(self) -> str:
        """Name of the file that has these entities."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """Label of the participant, without ``sub-``."""
        return self.entities["subject"]

    @property
    def session(self) -> str | None:
        """Label of the session, without ``ses-``; ``None`` where there is none."""
        return self.entities.get("session")

    @property
    def name(self) -> str:
        """All entities, in the order of BIDS: ``sub-01_ses-1_run-01``."""
        held = {key: self.entities.get(name) for key, name in ENTITIES.items()}
        return "_".join(f"{key}-{value}" for key, value in held.items() if value is not None)


@dataclass(frozen=True)
class Scan(NamedScan):
    """One raw FLAIR image of a dataset."""

    path: Path  # the image, .nii or .nii.gz
    # pybids' names -> values exactly as written (``run`` stays "01"), in the order of the name.
    entities: Mapping[str, str]
    # Its JSON sidecars, merged by the inheritance principle of BIDS.
    metadata: Mapping[str, Any] = field(default_factory=dict)
    skip_reason: str | None = None  # why the scan cannot be processed; None for one that can
    # The scan ought to be examined and cannot be: the run has failed, in this part. Without it, a
    # scan with a `skip_reason` is none to be examined (a phase image, another copy).
    is_refused: bool = False

    @property
    def file_name(self) -> str:
        """Name of the image."""
        return self.path.name

    @property
    def is_absent(self) -> bool:
        """Whether this stands for a participant who has no FLAIR."""
        return self.path.name == f"sub-{self.subject}"

    @property
    def relative_path(self) -> str:
        """The image from the root of its dataset, with forward slashes."""
        session = f"ses-{self.session}/" if self.session else ""
        return f"sub-{self.subject}/{session}anat/{self.path.name}"


@dataclass(frozen=True)
class FinishedScan(NamedScan):
    """One scan whose outputs are in place."""

    mask: Path  # of its findings, in the space of the scan
    # Those of the scan itself: `names.derivative_path` and `figure_path` lead to all its outputs.
    entities: Mapping[str, str]
    # Sidecar of the mask: all facts of the scan.
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Name of the mask."""
        return self.mask.name


def parse_entities(stem: str) -> dict[str, str]:
    """Split ``sub-01_run-01`` into pybids' entity names and values, kept as written."""
    pairs = (part.partition("-") for part in stem.split("_"))
    return {ENTITIES.get(key, key): value for key, _, value in pairs}


def skip_reason(scan: Scan, root: Path) -> str | None:
    """Say why a scan cannot be processed, judged by its name and place alone.

    A clause such as "it is the phase part of ...", or ``None`` when nothing is in the way.
    """
    strange = [key for key in scan.entities if key not in ENTITIES.values()]
    if strange:
        return f"{strange[0]!r} in its name has no place on a BIDS FLAIR: rename the file"
    # Names that BIDS forbids would lose or swap labels on the way to the derivatives.
    labels_ok = all(
        re.fullmatch("[0-9]+" if key in _INDICES else "[0-9a-zA-Z+]+", value)
        for key, value in scan.entities.items()
    )
    in_place = (root / scan.relative_path) == scan.path
    parts = scan.path.name.removesuffix(".gz").removesuffix("_FLAIR.nii").split("_")
    if not labels_ok or not in_place or sorted(parts) != sorted(scan.name.split("_")):
        return "its name is not a BIDS name that agrees with its folder: rename the file"
    if is_other_part(scan):
        return f"it is the {scan.entities['part']} part of a complex image, not its magnitude"
    if not scan.path.exists():
        return "the file is a link to content that is not here: fetch it (datalad get, git annex)"
    if not scan.path.is_file():
        return "it is no file: put the image in its place"
    if not os.access(scan.path, os.R_OK):
        return "you are not permitted to read the file: ask its owner"
    return None


def is_other_part(scan: Scan) -> bool:
    """Return whether a name says that an image is no magnitude: none to be examined."""
    return scan.entities.get("part") in _NOT_MAGNITUDE
