"""The JSON beside every output: what it is, what it was made from, and how."""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from uadbids.bids.names import DERIVATIVES, derivative_path
from uadbids.bids.scan import Scan

COMPONENT_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "index": {"Description": "Value of the finding in the image", "Format": "integer"},
    "name": {"Description": "Name of the finding; 1 is the largest"},
    "tag": {
        "Description": "How far to trust it",
        "Levels": {
            "likely": "At least 0.1 mL and well above the threshold, with no reason for doubt",
            "check": "Small or faint: look at it",
            "likely-artefact": "With a reason to be normal anatomy or an artefact",
        },
    },
    "color": {"Description": "Colour for viewers, by the tag"},
    "reason": {"Description": "Why it is likely to be an artefact; n/a for others"},
    "volume_ml": {"Description": "Volume in the grid of the scan", "Units": "mL"},
    "hemisphere": {"Description": "Side of the patient: left, right or both, by the template"},
    "region": {"Description": "Lobe or structure in which most of it lies, by an atlas; n/a "
               "outside the brain of the atlas"},
    "zone": {"Description": "Periventricular, juxtacortical or cortical, deep white matter, deep "
             "grey matter, mesial or infratentorial, by the atlas"},
    "location": {"Description": "Its place in words; approximate, since no atlas fits every brain"},
    "mni_x_mm": {"Description": "Centre of mass, MNI152 (affine alignment), to the right",
                 "Units": "mm"},
    "mni_y_mm": {"Description": "Centre of mass, MNI152 (affine alignment), to the front",
                 "Units": "mm"},
    "mni_z_mm": {"Description": "Centre of mass, MNI152 (affine alignment), upwards",
                 "Units": "mm"},
    "x_mm": {"Description": "Centre of mass, scanner coordinates, to the right", "Units": "mm"},
    "y_mm": {"Description": "Centre of mass, scanner coordinates, to the front", "Units": "mm"},
    "z_mm": {"Description": "Centre of mass, scanner coordinates, upwards", "Units": "mm"},
    "symmetric_grey_fraction": {"Description": "Share in grey matter whose place on the other side "
                                "is nearly as high as a finding: normal tissue, more often"},
    "score_max": {"Description": "Greatest value of the map that was thresholded"},
    "score_mean": {"Description": "Mean value of the map that was thresholded"},
}  # fmt: skip

# An absolute path at the start of a word, up to its last name; URLs have no blank before "/".
_HOST_FOLDERS = re.compile(r"(?<![^\s'\"(=,])(?:file://)?/(?:[^\s/'\"]+/)*(?=[^\s/])")


def sidecar(
    scan: Scan,
    key: str,
    written: Collection[str],
    *,
    facts: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    """Make the JSON of one output, a key of `names.DERIVATIVES`; ready for `json.dumps`.

    `written` are the keys of all outputs of this run: ``Sources`` names no file that is not there.
    Facts are provenance in CamelCase keys (``UadbidsVersion``, ``ModelSHA256``, ...); `summary`,
    the results of the scan (``FindingVolumeMl``, ...), is written beside ``native_lesions`` alone.

    Nothing of the scan's own metadata is copied: sidecars of clinical scans may hold dates and
    names. Of absolute paths in `facts` only the last name is kept, since derivatives are shared
    with people to whom the folders of this computer mean nothing.
    """
    derivative = DERIVATIVES[key]
    content: dict[str, Any] = {
        "Description": f"{derivative.description}.",
        "Sources": _sources(scan, key, written),
        **derivative.fields,
    }
    if derivative.tables:
        content.update(COMPONENT_COLUMNS)
    content.update(_plain(facts))
    if key == "native_lesions":
        content.update(_plain(summary))
    return content


def without_folders(text: str) -> str:
    """Keep of absolute paths in a text the last name: what is shared names no folder of a host."""
    return _HOST_FOLDERS.sub("", text)


def _sources(scan: Scan, key: str, written: Collection[str]) -> list[str]:
    """Return BIDS URIs; an absent source is replaced by what it was made from itself."""
    uris: list[str] = []
    for source in DERIVATIVES[key].sources:
        if source == "raw":
            found = [f"bids:raw:{scan.relative_path}"]
        elif source in written:
            found = [f"bids::{derivative_path(scan, source)}"]
        else:
            found = _sources(scan, source, written)
        uris += [uri for uri in found if uri not in uris]
    return uris


def _plain(value: Any) -> Any:
    """Return what JSON can hold: plain numbers, no NaN, no folders of this computer."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return value.name
    if hasattr(value, "item"):  # a scalar of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return without_folders(value) if isinstance(value, str) else value
