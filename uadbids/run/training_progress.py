"""Show how far a training is: a bar on a terminal, one line an epoch everywhere else."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from uadbids.model.config import TrainConfig
from uadbids.run.progress import Shown
from uadbids.run.runlog import say
from uadbids.training.fit import Epoch


class TrainingProgress(Shown):
    """Shows the steps of one training.

    Parameters
    ----------
    title : str
        What is trained.
    config : TrainConfig
        Its number of steps.
    console : Console
        Where to write.
    """

    def __init__(self, title: str, config: TrainConfig, console: Console) -> None:
        self._title, self._config, self._console = title, config, console
        self._live = console.is_terminal and not console.quiet
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._task = self._bars.add_task(title, total=config.steps, now="first epoch")

    def epoch(self, epoch: Epoch) -> None:
        """Take note of an epoch that has ended."""
        line = describe(epoch, self._config)
        if self._live:
            self._bars.update(self._task, completed=epoch.step, now=line)
        else:
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
