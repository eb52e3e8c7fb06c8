"""Show how far a run is: bars on a terminal, one line an event everywhere else."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, track
from rich.progress import Progress as Bars

from uadbids.run.runlog import LOGGER, say, terminal

if TYPE_CHECKING:
    from uadbids.model.config import TrainConfig
    from uadbids.training.fit import Epoch

T = TypeVar("T")
# Where no bar is drawn: steps of a training before the first line about them, and how often more.
_FIRST_STEPS, _SECONDS_A_LINE = 10, 60.0
HEADS = {
    "preprocess": "preprocessing",
    "detect": "detection",
    "derive": "results",
    "healthy": "healthy tissue",
    "compare": "comparison of sessions",
}


def waiting(what: str, console: Console | None = None) -> AbstractContextManager[Any]:
    """Show what takes seconds while a block runs; of it nothing stays, and a pipe gets nothing."""
    return (console or terminal()).status(what)


def tracked(items: Iterable[T], what: str, total: int, console: Console) -> Iterable[T]:
    """Hand items through one by one; a terminal shows how many are done."""
    hidden = not console.is_terminal
    return track(items, what, total, console=console, transient=True, disable=hidden)


class _Bar(AbstractContextManager[Any]):
    """One bar, drawn while the block runs, where the console is a terminal."""

    def __init__(self, console: Console, what: str, total: int, now: str, width: int) -> None:
        self._console, self._live = console, console.is_terminal and not console.quiet
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(width),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._task = self._bars.add_task(what, total=total, now=now)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


class Progress(_Bar):
    """Shows scans and their stages while a graph runs, until the step that is the last of each.

    Titles are what to call the scans, by the names of their graphs.
    """

    def __init__(
        self, titles: Mapping[str, str], *, last: str = "derive", console: Console | None = None
    ) -> None:
        super().__init__(console or terminal(), "FLAIR scans", len(titles), "", 40)
        self._titles, self._last = titles, last
        self._started: dict[tuple[str, str], float] = {}
        self._finished: set[str] = set()
        self._running: dict[str, str] = {}
        self._begun = time.monotonic()

    def note(self, text: str) -> None:
        """Write one line, here and to the log."""
        say(self._console, text)

    def step(self, graph: str, step: str, status: str) -> None:
        """Take note of a step that starts, ends or fails."""
        step = step.partition("_")[0]
        if step not in HEADS or graph not in self._titles:
            return
        title = self._titles[graph]
        if status == "start":
            if graph not in {name for name, _ in self._started}:
                LOGGER.info("%s: started", title)
            self._started[graph, step] = time.monotonic()
            self._running[graph] = f"{title}: {HEADS[step]}"
        else:
            self._running.pop(graph, None)
        if status == "exception":
            self.note(f"{title}: {HEADS[step]} failed")
            self._done(graph)
        elif status == "end":
            self._note_end(graph, step, title)
        self._bars.update(self._task, now="  ".join([*self._left(), *self._running.values()]))

    def _note_end(self, graph: str, step: str, title: str) -> None:
        seconds = time.monotonic() - self._started.get((graph, step), time.monotonic())
        # A terminal has the bar; a pipe gets a line for each stage that took time.
        took = f"{title}: {HEADS[step]} {seconds:.0f} s"
        if not self._console.is_terminal and seconds >= 1:
            self.note(took)
        else:
            LOGGER.log(logging.INFO if seconds >= 1 else logging.DEBUG, "%s", took)
        if step == self._last:
            self._done(graph)
            left = "".join(f", {text}" for text in self._left())
            self.note(f"{title}: done ({len(self._finished)} of {len(self._titles)}{left})")

    def _left(self) -> list[str]:
        """Estimate the time left by the pace so far, once there is one."""
        done = len(self._finished)
        if not 0 < done < len(self._titles):
            return []
        pace = (time.monotonic() - self._begun) / done
        return [f"about {duration(pace * (len(self._titles) - done))} left"]

    def _done(self, graph: str) -> None:
        self._finished.add(graph)
        self._bars.update(self._task, completed=len(self._finished))


class TrainingProgress(_Bar):
    """Shows the steps of one training, whose name is its title."""

    def __init__(self, title: str, config: TrainConfig, console: Console) -> None:
        super().__init__(console, title, config.steps, "first step", 20)
        self._title, self._config = title, config
        self._begun: tuple[int, float] | None = None  # first step of this call, and when
        self._last_line = -math.inf
        self._epoch = ""

    def step(self, step: int, reconstruction: float) -> None:
        """Take note of a step: a bar moves, a pipe gets a line after ten and then one a minute."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = (step, now)
        first, then = self._begun
        if step == first:
            return
        left = (self._config.steps - step) * (now - then) / (step - first)
        line = f"L1 {reconstruction:.4f}  {duration(left)} left"
        if self._live:
            self._bars.update(self._task, completed=step, now=line + self._epoch)
        elif step - first >= _FIRST_STEPS and now - self._last_line >= _SECONDS_A_LINE:
            self._last_line = now
            self.note(f"step {step}/{self._config.steps}  {line}")

    def epoch(self, epoch: Epoch) -> None:
        """Take note of an epoch that has ended."""
        line = describe(epoch, self._config)
        if self._live:
            self._epoch = f"  held-out MAE {epoch.val_mae:.4f}"
            self._bars.update(self._task, completed=epoch.step, now=line)
        else:
            self._last_line = time.monotonic()
            self.note(f"step {epoch.step}/{self._config.steps}  {line}")

    def note(self, sentence: str) -> None:
        """Write one line about the training."""
        say(self._console, f"{self._title}: {sentence}")


def describe(epoch: Epoch, config: TrainConfig) -> str:
    """Return one line about an epoch, and the time that the rest will take at its pace."""
    left = (config.steps - epoch.step) / config.epoch_steps * epoch.seconds
    # Without held-out scans there is no error of theirs.
    held_out = "" if epoch.val_mae != epoch.val_mae else f"  held-out MAE {epoch.val_mae:.4f}"
    return (
        f"L1 {epoch.reconstruction:.4f}  KL {epoch.kl:.4f}  beta {epoch.beta:.2f}  active units "
        f"{epoch.active_units}{held_out}  {duration(left)} left"
    )


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
