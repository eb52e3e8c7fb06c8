"""How far to trust each finding: a tag with its reason (docs/decisions/trust.md)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from uadbids.preproc.atlas import Place

TagName = Literal["likely", "check", "likely-artefact"]

BOUNDARY_MM = 4.0
"""Depth of the boundary of a brain mask; two of them are eroded before anything is looked for."""
BOUNDARY = "brain-mask boundary"
"""A reason: such findings may lie outside the brain."""
# Of the volume of a finding: within 4 mm of the brain mask's boundary; in slices whose brightness
# differs from that of their neighbours.
_BOUNDARY_SHARE, _SLICE_SHARE = 0.5, 0.8
# From the surface of the template's brain.
_SURFACE_MM = 4.0
_MIDLINE_MM, _BESIDE_VENTRICLE_MM = 6.0, 4.0
_VENTRICLE_SHARE = 0.3
_CORTEX_MM, _TWIN, _BRIGHT_Z = 3.0, 0.6, 1.5
_VESSEL_ELONGATION, _VESSEL_MM = 4.0, 3.0
# What is larger has reasons of its own to lie where normal tissue is bright.
SMALL_ML = 1.0
_LIKELY_ML, _LIKELY_HEIGHT = 0.1, 1.5


@dataclass(frozen=True)
class Evidence:
    """What is known of a finding."""

    volume_ml: float  # in the grid of the scan
    height: float  # 90th percentile of the map, in thresholds
    boundary_share: float  # share within 4 mm of the boundary of the brain mask
    place: Place  # where it lies
    symmetric_grey: float  # share in grey matter whose mirrored place is nearly as high
    twin: float  # mean of the map's local maxima at the mirrored place, over its own mean
    normal_z: float  # how bright normal grey matter is there (`Template.normal_brightness`)
    elongation: float  # length over width
    slice_share: float  # share in slices of another brightness than their neighbours


class Tag(NamedTuple):
    """Tag of a finding; the reason is empty but for artefacts."""

    name: TagName
    reason: str = ""


def tag(seen: Evidence) -> Tag:
    """Say how far to trust a finding; the first reason that holds is given."""
    reason = _artefact(seen)
    if reason:
        return Tag("likely-artefact", reason)
    large = seen.volume_ml >= _LIKELY_ML and seen.height >= _LIKELY_HEIGHT
    return Tag("likely" if large else "check")


def _artefact(seen: Evidence) -> str:
    """Reason to take a finding for an artefact; empty for none."""
    cortical = seen.place.cortex_mm <= _CORTEX_MM
    if seen.boundary_share >= _BOUNDARY_SHARE or seen.place.depth_mm < _SURFACE_MM:
        return BOUNDARY
    if seen.slice_share >= _SLICE_SHARE:
        return "slice with another brightness"
    if seen.volume_ml >= SMALL_ML:
        return ""
    if seen.place.midline_mm < _MIDLINE_MM and seen.place.ventricle_mm <= _BESIDE_VENTRICLE_MM:
        return "septum or fornix"
    if seen.place.ventricle_share >= _VENTRICLE_SHARE:
        return "choroid plexus"
    if (cortical and seen.twin > _TWIN) or seen.normal_z > _BRIGHT_Z:
        return "normally bright cortex"
    thin = seen.elongation > _VESSEL_ELONGATION
    return "vessel" if thin and seen.place.cortex_mm <= _VESSEL_MM else ""
