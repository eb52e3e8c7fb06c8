"""The sessions of one person on the template grid, aligned with each other, each resampled once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from uadbids.detection.hyperintensity import robust_z
from uadbids.pipeline.records import Preprocessed
from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.config import PreprocConfig
from uadbids.preproc.conform import conform, on_grid_of
from uadbids.preproc.halfway import Brain, align_sessions
from uadbids.preproc.intensity import scale_intensity
from uadbids.preproc.intensity_match import match_intensities
from uadbids.preproc.registration import register
from uadbids.preproc.resample import to_template
from uadbids.preproc.template import Template
from uadbids.preproc.transform import read_transform, write_transform
from uadbids.preproc.volume import read_volume
from uadbids.qc.comparable import measure_session
from uadbids.qc.facts import Facts

# Robust z from which tissue of one session may be a lesion, and has no say in the match; normal
# tissue is above this part of the brain's median, as in `tissue_level`.
_BRIGHT_Z, _TISSUE = 2.0, 0.7
QUALITY = {"thickness_mm": "ThicknessMm", "grey_white": "GreyWhiteRatio", "noise": "NoiseLevel"}
"""What is measured of a session -> key of the fact."""


@dataclass(frozen=True)
class Session:
    """A scan that was examined by itself."""

    name: str  # such as "sub-01_ses-1"
    source: Path  # the scan as it was found
    brain: Path  # brain mask on its grid
    xfm: Path  # transform of `registration.register`


def to_common_space(
    sessions: Sequence[Session], folder: Path, config: PreprocConfig
) -> list[Preprocessed]:
    """Bring sessions to one space half-way between them, with comparable grey values.

    There are at least two, of one person, preprocessed by `config`; results go to folders of theirs
    in `folder`, which exists. ``xfm`` of a result leads to the common space, and ``affine`` goes
    with it.
    """
    template = Template.packaged()
    folders = [folder / session.name for session in sessions]
    brains = [
        _native(session, place, config) for session, place in zip(sessions, folders, strict=True)
    ]
    for place, matrix in zip(folders, align_sessions(brains), strict=True):
        write_transform(matrix, place / "to_template.txt")
    scans = [
        _resampled(session, place, template, config)
        for session, place in zip(sessions, folders, strict=True)
    ]
    for brain in brains:
        brain.corrected.unlink()
    scans = _matched(scans, template)
    return _placed(scans, folder, template, config)


def _native(session: Session, folder: Path, config: PreprocConfig) -> Brain:
    """Make again what preprocessing removes: the scan without its bias field."""
    folder.mkdir(exist_ok=True)
    conformed, mask = folder / "conformed.nii.gz", folder / "brain.nii.gz"
    corrected = folder / "corrected.nii"
    conform(session.source, conformed)
    like = nib.load(conformed)
    brain = on_grid_of(conformed, session.brain).astype(np.uint8)
    nib.Nifti1Image(brain, like.affine).to_filename(mask)
    correct_bias(conformed, mask, corrected, config)
    return Brain(corrected, mask, session.xfm)


def _resampled(
    session: Session, folder: Path, template: Template, config: PreprocConfig
) -> Preprocessed:
    xfm, resampled = folder / "to_template.txt", folder / "resampled.nii"
    volume, mask, brain = (folder / f"{name}.nii.gz" for name in ("volume", "mask", "brain"))
    to_template(folder / "corrected.nii", brain, xfm, resampled, mask, template)
    scale_intensity(resampled, mask, volume, template, config.intensity)
    resampled.unlink()
    conformed = folder / "conformed.nii.gz"
    quality = measure_session(
        read_volume(volume).data,
        read_volume(mask).data > 0,
        float(max(nib.load(conformed).header.get_zooms())),
    )
    facts = Facts({key: getattr(quality, name) for name, key in QUALITY.items()})
    return Preprocessed(session.source, conformed, brain, xfm, xfm, volume, mask, facts)


def _matched(scans: Sequence[Preprocessed], template: Template) -> list[Preprocessed]:
    """Bring the volumes to the grey values that they have in the mean."""
    volumes = [read_volume(scan.volume).data for scan in scans]
    masks = [read_volume(scan.mask).data > 0 for scan in scans]
    tissue = np.logical_and.reduce([
        mask & (robust_z(volume, mask) < _BRIGHT_Z) & (volume > _TISSUE * np.median(volume[mask]))
        for volume, mask in zip(volumes, masks, strict=True)
    ])  # fmt: skip
    found = []
    for scan, volume, mask, (slope, offset) in zip(
        scans, volumes, masks, match_intensities(volumes, tissue), strict=True
    ):
        matched = np.where(mask, np.clip(slope * volume + offset, 0, 1), 0).astype(np.float32)
        template.save(matched, scan.volume)
        values = {"MatchSlope": slope, "MatchOffset": offset}
        found.append(replace(scan, facts=scan.facts + Facts(values)))
    return found


def _placed(
    scans: Sequence[Preprocessed], folder: Path, template: Template, config: PreprocConfig
) -> list[Preprocessed]:
    """Align the mean of the sessions with the average brain, by which places get their names."""
    mean, mask = folder / "mean.nii.gz", folder / "mean_mask.nii.gz"
    masks = np.mean([read_volume(scan.mask).data > 0 for scan in scans], axis=0) >= 0.5
    template.save(np.mean([read_volume(scan.volume).data for scan in scans], axis=0) * masks, mean)
    template.save(masks.astype(np.uint8), mask)
    affine = folder / "affine.txt"
    register(mean, mask, folder / "rigid.txt", affine, template, config)
    placed = []
    for scan in scans:
        path = scan.xfm.with_name("affine.txt")
        write_transform(read_transform(scan.xfm) @ read_transform(affine), path)
        placed.append(replace(scan, affine=path))
    return placed
