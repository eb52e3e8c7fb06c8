"""Linear transforms as matrices."""

import re
from pathlib import Path

import numpy as np

from uadbids.errors import ScanError

# ITK counts to the left and to the back, NIfTI to the right and to the front.
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS to LPS and back."""


def read_transform(xfm: Path) -> np.ndarray:
    """Read a linear transform in ITK's text format, as ANTs writes it.

    Returns
    -------
    ndarray of float, shape (4, 4)
        From point to point in RAS millimetres.

    Raises
    ------
    ScanError
        If it cannot be read.
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
    return LPS @ matrix @ LPS
