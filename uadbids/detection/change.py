"""What has become of a finding between two sessions, beyond what repeated scans differ by."""

import math
from dataclasses import dataclass
from typing import Literal

Status = Literal["new", "enlarging", "stable", "shrinking", "gone"]

# Two-sided limits of agreement that hold 95 % of repeated measurements (Bland and Altman 1986).
_LIMITS = 1.96
# Voxels of 1 mm3: what is present and has no voxel at half of its height has half of one.
_LEAST_MM3 = 0.5


@dataclass(frozen=True)
class Repeatability:
    """Standard deviation of the logarithm of the ratio of two volumes of an unchanged finding.

    ``sqrt(least^2 + reference / volume)``: smaller for larger findings, down to ``least``.
    """

    least: float
    reference_mm3: float

    def sd(self, volume_mm3: float) -> float:
        """Return it for a mean volume above 0."""
        return math.sqrt(self.least**2 + self.reference_mm3 / volume_mm3)


MEASURED = Repeatability(least=0.1, reference_mm3=2.0)
"""The second of development scans and their moved copies. These would need no lower bound; it is
for patients scanned twice, who differ in more (docs/decisions/follow-up.md)."""


@dataclass(frozen=True)
class Change:
    """How a finding differs between two sessions."""

    status: Status
    difference_mm3: float  # later volume minus earlier
    limit_mm3: float  # repeated measurements of what has not changed differ by less, in 95 of 100


def judge_change(
    earlier_mm3: float,
    later_mm3: float,
    *,
    was_present: bool,
    is_present: bool,
    repeatability: Repeatability = MEASURED,
) -> Change | None:
    """Compare the volumes of one finding in two sessions; None where neither shows it.

    Volumes were measured alike (`families.find_families`).
    """
    if not (was_present or is_present):
        return None
    mean = max((earlier_mm3 + later_mm3) / 2, _LEAST_MM3)
    limit = _LIMITS * repeatability.sd(mean)
    difference = later_mm3 - earlier_mm3
    status: Status = "stable"
    if not was_present:
        status = "new"
    elif not is_present:
        status = "gone"
    else:
        ratio = math.log(max(later_mm3, _LEAST_MM3) / max(earlier_mm3, _LEAST_MM3))
        if abs(ratio) > limit:
            status = "enlarging" if ratio > 0 else "shrinking"
    return Change(status, difference, 2 * mean * math.sinh(limit / 2))
