"""Many scans: the tables of a study, and measures of masks."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from uadbids.api.single import Image
from uadbids.bids.derivatives import finished_scans
from uadbids.bids.foreign import read_tsv
from uadbids.bids.names import derivative_path
from uadbids.bids.sidecar import COMPONENT_COLUMNS
from uadbids.errors import UsageError
from uadbids.evaluation.metrics import mask_figures
from uadbids.reports.group_table import group_rows

_TEXTS = ("name", "tag", "reason", "color", "hemisphere", "region", "zone", "location")


class Derivatives(NamedTuple):
    """The tables of a study.

    Attributes
    ----------
    findings : DataFrame
        One row a finding: participant, session, scan, then as in `Result.findings`.
    scans : DataFrame
        One row a finished scan, as in ``group_FLAIR.tsv``.
    """

    findings: pd.DataFrame
    scans: pd.DataFrame


def load_derivatives(output_dir: str | os.PathLike[str]) -> Derivatives:
    """Read what ``uadbids ... participant`` has written.

    Parameters
    ----------
    output_dir : path
        Its output folder.

    Returns
    -------
    Derivatives
        Findings and scans.

    Raises
    ------
    UsageError
        When no scan is finished there.
    """
    root = Path(output_dir)
    scans = finished_scans(root)
    if not scans:
        raise UsageError(f"{root} holds no finished scan")
    table = pd.DataFrame(group_rows(scans))
    keys = ["participant_id", "session_id", "scan"]
    rows = [
        {**keys_of, **row}
        for scan, keys_of in zip(scans, table[keys].to_dict("records"), strict=True)
        for row in read_tsv(root / derivative_path(scan, "native_components", ".tsv"))
    ]
    findings = pd.DataFrame(rows, columns=[*keys, *COMPONENT_COLUMNS]).replace("n/a", None)
    numbers = [name for name in COMPONENT_COLUMNS if name not in _TEXTS]
    findings[numbers] = findings[numbers].apply(pd.to_numeric)
    return Derivatives(findings, table)


def evaluate(pairs: Iterable[tuple[Image, Image]]) -> pd.DataFrame:
    """Compare masks that were found with masks that experts drew.

    Parameters
    ----------
    pairs : iterable of (path or Nifti1Image, path or Nifti1Image)
        Found and drawn, on one grid; every value above 0 counts.

    Returns
    -------
    DataFrame
        One row a pair, with the columns of ``uadbids evaluate``: ``dice``, ``lesion_recall``,
        ``lesion_f1``, ``hd95_mm``, ``lesion_volume_ml``, ``found_volume_ml`` and so on.

    Raises
    ------
    UsageError
        When two masks of a pair lie on different grids.

    Examples
    --------
    >>> import nibabel as nib, numpy as np, uadbids
    >>> drawn = nib.Nifti1Image(np.pad(np.ones((4, 4, 4), np.uint8), 3), np.eye(4))
    >>> found = nib.Nifti1Image(np.roll(np.asarray(drawn.dataobj), 1, axis=0), np.eye(4))
    >>> uadbids.evaluate([(found, drawn)])[["dice", "lesion_recall"]]
       dice  lesion_recall
    0  0.75            1.0
    """
    return pd.DataFrame([_compared(*map(_load, pair)) for pair in pairs])


def _load(image: Image) -> nib.Nifti1Image:
    return nib.load(image) if isinstance(image, str | os.PathLike) else image


def _compared(found: nib.Nifti1Image, drawn: nib.Nifti1Image) -> dict[str, Any]:
    if found.shape != drawn.shape or not np.allclose(found.affine, drawn.affine, atol=1e-3):
        raise UsageError(
            f"a mask of shape {found.shape} and one of shape {drawn.shape} do not lie on one grid; "
            "resample one of them first"
        )
    one, two = (np.asanyarray(image.dataobj) > 0 for image in (found, drawn))
    x, y, z = map(float, nib.affines.voxel_sizes(found.affine))
    return mask_figures(one, two, np.ones_like(one), (x, y, z))
