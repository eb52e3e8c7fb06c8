"""Linear transforms as matrices."""

import re
from pathlib import Path

import numpy as np

from uadbids.errors import ScanError
from uadbids.preproc.conform import disk_is_full

# From RAS to LPS and back: ITK counts to the left and to the back, NIfTI to the right and front.
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_transform(xfm: Path) -> np.ndarray:
    """Read a linear transform in ITK's text format, as ANTs writes it.

    A matrix (4, 4) from point to point in RAS millimetres; ScanError if it cannot be read.
    """
    try:
        text = xfm.read_text(encoding="utf-8")
        numbers, fixed = (
            np.array(re.search(rf"^{name}:(.*)$", text, re.MULTILINE)[1].split(), dtype=float)  # type: ignore[index]
            for name in ("Parameters", "FixedParameters")
        )
        matrix = np.eye(4)
        matrix[:3, :3] = numbers[:9].reshape(3, 3)
        matrix[:3, 3] = numbers[9:12] + fixed - matrix[:3, :3] @ fixed
    except (OSError, TypeError, ValueError) as error:
        raise ScanError(f"{xfm}: cannot be read as a transform; run the scan again") from error
    return _LPS @ matrix @ _LPS


def write_transform(matrix: np.ndarray, out_file: Path) -> None:
    """Write a linear transform from point to point in RAS millimetres, (4, 4), in ITK's format.

    OSError where the disk is full.
    """
    import ants

    lps = _LPS @ matrix @ _LPS
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, matrix=lps[:3, :3], offset=lps[:3, 3]
    )
    ants.write_transform(transform, str(out_file))
    # ITK says nothing of a disk that is full; this is the last line of a transform.
    if "\nFixedParameters:" not in out_file.read_text():
        raise disk_is_full(out_file)
