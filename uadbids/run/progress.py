"""Show how far a run is: bars on a terminal, one line an event everywhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from uadbids.run.runlog import LOGGER, say

HEADS = {
    "preprocess": "preprocessing",
    "detect": "detection",
    "derive": "results",
    "healthy": "healthy tissue",
}


class Shown:
    """Bars that are drawn while a block runs."""

    _bars: Bars

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()


class Progress(Shown):
    """Shows scans and their stages while a graph runs.

    Parameters
    ----------
    titles : mapping of str to str
        Name of a scan's graph -> how to call the scan.
    last : str
        The step that ends a scan.
    console : Console, optional
        Where to write; standard error by default, so that a pipe gets results alone.
    """

    def __init__(
        self, titles: Mapping[str, str], *, last: str = "derive", console: Console | None = None
    ) -> None:
        self._titles = titles
        self._last = last
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._started: dict[tuple[str, str], float] = {}
        self._finished: set[str] = set()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bars.add_task("FLAIR scans", total=len(titles), now="")
        self._running: dict[str, str] = {}

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
        self._bars.update(self._task, now="  ".join(self._running.values()))

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
            self.note(f"{title}: done")

    def _done(self, graph: str) -> None:
        self._finished.add(graph)
        self._bars.update(self._task, completed=len(self._finished))
