"""How often findings lie at each place of the template, one mask in memory at a time."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from uadbids.bids.files import write_bytes
from uadbids.bids.names import derivative_path
from uadbids.bids.scan import FinishedScan
from uadbids.preproc.volume import READ_ERRORS

Follow = Callable[[Sequence[FinishedScan]], Iterable[FinishedScan]]


@dataclass(frozen=True)
class FindingFrequency:
    """Share of the participants that have a finding at each voxel."""

    share: NDArray[np.float64]  # shape (X, Y, Z), on the template grid, from 0 to 1
    affine: NDArray[np.float64]  # shape (4, 4), of the template grid
    participants: int  # that went in
    scans: int  # that went in
    # Scans whose mask is damaged or on another grid -> why.
    unreadable: dict[str, str] = field(default_factory=dict)

    def save(self, out: Path) -> None:
        """Write the shares as float32; the same shares give the same bytes."""
        image = nib.Nifti1Image(self.share.astype(np.float32), self.affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(self.affine, code=1)
        image.set_sform(self.affine, code=1)
        write_bytes(out, gzip.compress(image.to_bytes(), mtime=0))


def finding_frequency(
    output_dir: Path, scans: Sequence[FinishedScan], template: Path, follow: Follow = iter
) -> FindingFrequency:
    """Average the masks of a study on the template grid.

    Every participant counts once, however many scans there are of them: it is the mean over the
    participants of the mean over their sessions of the mean over the scans of a session. It is
    zero everywhere when no mask could be read.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    scans : sequence of FinishedScan
        Those that have a mask on the template grid.
    template : Path
        An image on that grid.
    follow : callable
        Hands the scans through one by one, for a progress bar.
    """
    grid = nib.load(template)
    # What a scan adds cannot be known before it is known which of its siblings can be read, so
    # voxels are kept by participant (a few thousand each), and added when the participant is whole.
    share = np.zeros(int(np.prod(grid.shape)))
    unreadable: dict[str, str] = {}
    waiting: list[tuple[FinishedScan, NDArray[np.int64]]] = []
    participants = read = 0

    def settle() -> None:
        sessions = Counter(scan.session for scan, _ in waiting)
        for scan, voxels in waiting:
            share[voxels] += 1 / (len(sessions) * sessions[scan.session])
        waiting.clear()

    ordered = sorted(scans, key=lambda scan: (scan.subject, scan.name))
    for scan in follow(ordered):
        if waiting and waiting[-1][0].subject != scan.subject:
            settle()
        try:
            voxels = _finding_voxels(output_dir / derivative_path(scan, "template_lesions"), grid)
        except READ_ERRORS as error:
            unreadable[scan.name] = str(error)
            continue
        participants += not waiting
        read += 1
        waiting.append((scan, voxels))
    settle()
    share = (share / max(participants, 1)).reshape(grid.shape)
    return FindingFrequency(share, np.asarray(grid.affine), participants, read, unreadable)


def _finding_voxels(path: Path, grid: nib.Nifti1Image) -> NDArray[np.int64]:
    """Flat indices of the voxels of a mask; ValueError where its grid is another."""
    image = nib.load(path)
    if image.shape != grid.shape or not np.allclose(image.affine, grid.affine, atol=1e-3):
        raise ValueError("its grid is not that of the template")
    return np.flatnonzero(np.asanyarray(image.dataobj) > 0)
