"""The log of one call: what was asked for, with which versions, and what happened when.

The standard `logging` does the work. While a log is open the root logger writes to it, libraries
and their warnings included, instead of to the terminal; with ``--verbose`` to both.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uadbids import __version__
from uadbids.bids.files import write_bytes
from uadbids.errors import UadbidsError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

LOGGER = logging.getLogger("uadbids")
LOG_NAME = "uadbids.log"
SETTINGS_NAME = "settings.toml"
# Packages whose version can change a result, as they are installed.
_PACKAGES = (
    "torch", "antspyx", "nipype", "deepbet", "nnunetv2", "pybids", "nibabel", "numpy", "scipy",
    "scikit-image", "connected-components-3d",
)  # fmt: skip
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class Request:
    """What was typed, and what it came to."""

    command: str = ""  # as it was typed
    # Name of a flag or argument -> its value, defaults included; None where it has none.
    settings: Mapping[str, Any] = field(default_factory=dict)
    verbose: bool = False  # log what libraries do step by step, and show it on the terminal too


NO_REQUEST = Request()


class LogFile(logging.FileHandler):
    """One line an event, with time; several processes may append to one file."""

    def __init__(self, path: Path, verbose: bool) -> None:
        super().__init__(path, encoding="utf-8")
        self.verbose = verbose
        self.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S%z"))

    def format(self, record: logging.LogRecord) -> str:
        """Keep an event to one line, but for the traceback of a fault."""
        first, *rest = super().format(record).split("\n")
        return "\n    ".join([first, *rest])

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without: a full disk must not end a run through its log."""

    def close(self) -> None:
        """Close the file, and lose what a full disk did not take."""
        with suppress(OSError):
            super().close()


def _is_news(record: logging.LogRecord) -> bool:
    """Whether ``--verbose`` adds a record to the terminal, which has our notes and nipype's."""
    owner = record.name.partition(".")[0]
    return owner not in (LOGGER.name, "nipype") or (
        owner == LOGGER.name and record.levelno < logging.INFO
    )


@dataclass
class RunLog:
    """An open log; its last line states the exit status."""

    status: int = 0


def new_run_uuid() -> str:
    """Name a run: when it started, and a random part."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}_{uuid.uuid4()}"


@contextmanager
def run_log(output_dir: Path, request: Request, run_uuid: str | None = None) -> Iterator[RunLog]:
    """Keep a log of what a block does, ``OUTPUT_DIR/logs/<run_uuid>/uadbids.log``.

    Beside it lies ``settings.toml``, which ``--config-file`` accepts. UsageError when the folder
    cannot be written.
    """
    folder = output_dir / "logs" / (run_uuid or new_run_uuid())
    settings = to_toml(request.settings)
    with writing_to(output_dir):
        write_bytes(folder / SETTINGS_NAME, settings.encode())
        write_bytes(folder / LOG_NAME, _head(request, settings).encode())
        handler = LogFile(folder / LOG_NAME, request.verbose)
    root = logging.getLogger()
    handlers, level = root.handlers[:], LOGGER.level
    log = RunLog()
    try:
        _attach(handler)
        yield log
        LOGGER.info("end, exit status %d", log.status)
    except BaseException as error:
        _note_fault(error)
        raise
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        LOGGER.setLevel(level)
        handler.close()


@contextmanager
def writing_to(output_dir: Path) -> Iterator[None]:
    """Say in a UsageError that an output folder cannot be written, where that is so."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"the output folder {output_dir} cannot be written ({error.strerror}: {error.filename})"
        ) from error


def open_log() -> tuple[Path, bool] | None:
    """Return file and verbosity of the log of this process, for `join_log` in another."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            return Path(handler.baseFilename), handler.verbose
    return None


def join_log(log: tuple[Path, bool] | None) -> None:
    """Let a worker process write to the log of the run, for as long as it lives."""
    if log is not None and log[0].is_file():
        _attach(LogFile(*log))


def terminal(*, quiet: bool = False) -> Console:
    """Return standard error as a console, so that a pipe gets results alone."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)


def say(console: Console, text: str) -> None:
    """Write one line to the terminal and to the log."""
    console.print(text, markup=False)
    LOGGER.info("%s", text)


def to_toml(settings: Mapping[str, Any]) -> str:
    """Write settings as TOML; those without a value are left out, paths become absolute."""
    given = {key: value for key, value in settings.items() if value not in (None, [], ())}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in given.items())


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value.absolute()) if isinstance(value, Path) else str(value)
    # A string of JSON is one of TOML, but for the character DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _head(request: Request, settings: str) -> str:
    installed = {"Python": platform.python_version(), "uadbids": __version__}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "not installed"
    versions = "".join(f"# {name} {version}\n" for name, version in installed.items())
    return (
        f"# Command\n{request.command}\n\n"
        f"# Settings, as in {SETTINGS_NAME}: --config-file accepts them\n{settings}\n"
        f"# Versions\n{versions}\n# Events\n"
    )


def _attach(handler: LogFile) -> None:
    shown = logging.StreamHandler(sys.stderr)
    shown.addFilter(_is_news)
    logging.getLogger().handlers[:] = [handler, shown] if handler.verbose else [handler]
    LOGGER.setLevel(logging.DEBUG if handler.verbose else logging.INFO)
    logging.captureWarnings(True)


def _note_fault(error: BaseException) -> None:
    if isinstance(error, UadbidsError):
        LOGGER.error("%s", error)
        LOGGER.info("end, exit status 2")
    elif isinstance(error, KeyboardInterrupt):
        LOGGER.warning("stopped; the same command goes on from here")
        LOGGER.info("end, exit status 130")
    else:
        LOGGER.critical("a fault of the program", exc_info=error)
        LOGGER.info("end, exit status 1")
