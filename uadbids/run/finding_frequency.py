"""How often findings lie at each place of the template, one mask in memory at a time."""

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from uadbids.bids.files import write_bytes
from uadbids.bids.names import derivative_path
from uadbids.bids.scan import FinishedScan
from uadbids.preproc.volume import READ_ERRORS
from uadbids.run.progress import tracked
from uadbids.run.runlog import terminal


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
    output_dir: Path, scans: Sequence[FinishedScan], template: Path, console: Console | None = None
) -> FindingFrequency:
    """Average the masks of a study on the grid of the template image.

    Every participant counts once, however many scans there are of them: it is the mean over the
    participants of the mean over their sessions of the mean over the scans of a session. It is
    zero everywhere when no mask could be read. All scans have a mask on the template grid; a
    terminal shows how many are done.
    """
    grid = nib.load(template)
    share = np.zeros(int(np.prod(grid.shape)))
    unreadable: dict[str, str] = {}
    participants = read = 0
    ordered = sorted(scans, key=lambda scan: (scan.subject, scan.name))
    shown = tracked(ordered, "masks", len(scans), console or terminal(quiet=True))
    for _, of_one in groupby(shown, key=lambda scan: scan.subject):
        # What a scan adds cannot be known before it is known which of its siblings can be read.
        found: list[tuple[FinishedScan, NDArray[np.int64]]] = []
        for scan in of_one:
            path = output_dir / derivative_path(scan, "template_lesions")
            try:
                found.append((scan, _finding_voxels(path, grid)))
            except READ_ERRORS as error:
                unreadable[scan.name] = str(error)
        sessions = Counter(scan.session for scan, _ in found)
        for scan, voxels in found:
            share[voxels] += 1 / (len(sessions) * sessions[scan.session])
        participants += bool(found)
        read += len(found)
    share = (share / max(participants, 1)).reshape(grid.shape)
    return FindingFrequency(share, np.asarray(grid.affine), participants, read, unreadable)


def _finding_voxels(path: Path, grid: nib.Nifti1Image) -> NDArray[np.int64]:
    """Flat indices of the voxels of a mask; ValueError where its grid is another."""
    image = nib.load(path)
    if image.shape != grid.shape or not np.allclose(image.affine, grid.affine, atol=1e-3):
        raise ValueError("its grid is not that of the template")
    return np.flatnonzero(np.asanyarray(image.dataobj) > 0)
