"""The facts of a scan: what its sidecars, tables, flags and page show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from uadbids.bids.facts import RESULTS, results_of
from uadbids.qc.flags import brain_mask_warnings, judge


@dataclass(frozen=True)
class Facts:
    """What is known of a scan."""

    values: Mapping[str, Any] = field(default_factory=dict)  # CamelCase keys
    flags: tuple[str, ...] = ()  # codes of what a person should look at
    warnings: tuple[str, ...] = ()  # the same in sentences
    seconds: Mapping[str, float] = field(default_factory=dict)  # that each stage took

    def __add__(self, other: Facts) -> Facts:
        """Join: warnings and seconds add up, everything else is said by one stage alone."""
        return Facts(
            {**self.values, **other.values},
            self.flags + other.flags,
            self.warnings + other.warnings,
            {**self.seconds, **other.seconds},
        )

    def judged(self) -> Facts:
        """Put what the whole raises (see `flags.judge`) before what the stages said."""
        codes, sentences = judge(self.values)
        flags, warnings = (*codes, *self.flags), (*sentences, *self.warnings)
        return replace(self, flags=flags, warnings=warnings)

    def for_sidecars(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the facts for every sidecar, and the results for that of the mask."""
        shown = {key: value for key, value in self.values.items() if key not in RESULTS}
        shown |= {
            "Flags": list(self.flags),
            "Warnings": list(self.warnings),
            "StageSeconds": dict(self.seconds),
        }
        return shown, results_of(self.values)


@contextmanager
def timed(name: str) -> Iterator[dict[str, float]]:
    """Take the time of a block: the dictionary holds it once the block is over."""
    seconds: dict[str, float] = {}
    started = time.monotonic()
    yield seconds
    seconds[name] = round(time.monotonic() - started, 2)


def stage(
    name: str, function: Callable[..., Mapping[str, Any] | None], *args: Any, **kw: Any
) -> Facts:
    """Call a function that may report facts (a mapping with CamelCase keys), and take its time."""
    with timed(name) as seconds:
        values = dict(function(*args, **kw) or {})
    flags, warnings = (tuple(values.pop(key, ())) for key in ("Flags", "Warnings"))
    return Facts(values, flags, warnings, seconds)


def brain_mask_doubts(facts: Mapping[str, Any], trained_with: Sequence[str]) -> Facts:
    """Raise the flag of a brain that was cut out in another way than in the model's training."""
    sentences = brain_mask_warnings(facts, trained_with)
    return Facts(flags=("brain-mask-method",) * bool(sentences), warnings=tuple(sentences))
