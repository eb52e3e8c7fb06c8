"""Colours and names of findings for viewers."""

from collections.abc import Mapping, Sequence
from typing import Any

TAG_COLOURS: Mapping[str, str] = {
    "likely": "#e6194b",
    "check": "#ffd21f",
    "likely-artefact": "#8c96a0",
}
"""By the tag of a finding; apart for readers with any common colour blindness."""
_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
"""


def label_description(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Describe the labels of a label image for ITK-SNAP, which loads it beside the image.

    Rows are those of `sidecar.COMPONENT_COLUMNS`.
    """
    lines = []
    for row in rows:
        red, green, blue = bytes.fromhex(str(row.get("color", "#e6194b")).removeprefix("#"))
        name = ", ".join(str(row[key]) for key in ("name", "tag", "location") if row.get(key))
        lines.append(
            f'{row["index"]:5d} {red:5d} {green:4d} {blue:4d}        1  1  1    "{name}"\n'
        )
    return (_HEAD + "".join(lines)).encode()
