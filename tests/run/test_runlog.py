"""The log of one call."""

import json
import logging
import re
import subprocess
import sys
import tomllib
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from uadbids.cli import main
from uadbids.errors import ScanError, UsageError
from uadbids.run import group as run_group
from uadbids.run.runlog import (
    LOGGER,
    NO_REQUEST,
    Request,
    join_log,
    new_run_uuid,
    open_log,
    run_log,
    say,
    to_toml,
)

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ")


def only_log(out: Path) -> str:
    (path,) = out.glob("logs/*/uadbids.log")
    return path.read_text()


def events(text: str) -> list[str]:
    return text.partition("# Events\n")[2].splitlines()


def test_a_log_holds_command_settings_versions_and_events(tmp_path):
    request = Request("uadbids a b group", {"model": "dense3d", "threshold": None})
    with run_log(tmp_path, request, "name-of-run") as log:
        say(Console(quiet=True), "done: 1 of 2")
        log.status = 1
    text = (tmp_path / "logs" / "name-of-run" / "uadbids.log").read_text()
    assert "uadbids a b group\n" in text
    assert '\nmodel = "dense3d"\n' in text and "threshold" not in text
    for package in ("Python", "uadbids", "torch", "antspyx", "nipype", "deepbet"):
        assert re.search(rf"^# {package} \S+", text, re.MULTILINE), package
    assert all(TIME.match(line) for line in events(text))
    assert [line.partition(": ")[2] for line in events(text)] == [
        "done: 1 of 2",
        "end, exit status 1",
    ]


def test_settings_read_back_as_they_were():
    settings = {
        "text": 'a "quoted" \\ name, ü, \x7f and\nanother line',
        "path": Path("/data/raw"),
        "number": 3,
        "share": 1e-05,
        "flag": False,
        "several": ["01", "02"],
        "none": None,
    }
    read = tomllib.loads(to_toml(settings))
    assert read == {**{k: v for k, v in settings.items() if k != "none"}, "path": "/data/raw"}


@pytest.fixture
def asked(monkeypatch):
    """What the group level was asked for, each time the command line ran it."""
    found = []
    monkeypatch.setattr(run_group, "group", lambda options: found.append(options) or 0)
    return found


def settings_file(folder: Path, options) -> Path:
    path = folder / "settings.toml"
    path.write_text(to_toml(options.request.settings))
    return path


def test_the_settings_of_a_log_are_a_config_file(asked, tmp_path):
    flags = ["--participant-label", "07", "08", "--bids-database-dir", str(tmp_path / "db")]
    with pytest.raises(SystemExit):
        main([str(tmp_path / "raw"), str(tmp_path / "out"), "group", *flags])
    again = ["group", "--config-file", str(settings_file(tmp_path, asked[0]))]
    with pytest.raises(SystemExit) as end:
        main(again)
    assert end.value.code == 0
    assert to_toml(asked[0].request.settings) == to_toml(asked[1].request.settings)
    assert replace(asked[0], request=NO_REQUEST) == replace(asked[1], request=NO_REQUEST)
    assert asked[1].participant_labels == ("07", "08")


@pytest.mark.parametrize("command", ["participant", "train", "synthesize", "evaluate"])
def test_every_command_accepts_its_own_settings_again(command, tmp_path, monkeypatch):
    from uadbids.cli import flags

    seen = []
    request = flags.request

    def stop(context):
        seen.append(request(context).settings)
        raise UsageError("seen")

    monkeypatch.setattr(flags, "request", stop)
    # The way to the request must not depend on what lies in the folders.
    monkeypatch.setattr("uadbids.run.setup.prepare_run", lambda *_, **__: None)
    places = [str(tmp_path / name) for name in ("a", "b", "c")][: 3 if command == "evaluate" else 2]
    typed = ["--random-seed", "5"]
    typed += ["--no-baselines", "--mask-values", "1"] if command == "evaluate" else []
    typed += ["--no-augment", "--channels", "8", "16"] if command == "train" else []
    typed += ["--output-spaces", "orig", "--false-positive-rate", "0.001"] * (
        command == "participant"
    )
    with pytest.raises(SystemExit):
        main([command, *places, *typed])
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(seen[0]))
    with pytest.raises(SystemExit):
        main([command, "--config-file", str(path)])
    assert len(seen) == 2
    assert to_toml(seen[0]) == to_toml(seen[1])
    assert seen[0]["random_seed"] == 5


def test_warnings_of_libraries_go_to_the_log_alone(tmp_path, capsys):
    with run_log(tmp_path, Request()), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("an old way of calling", DeprecationWarning, stacklevel=1)
        logging.getLogger("some.library").warning("odd header")
    text = only_log(tmp_path)
    assert "an old way of calling" in text and "some.library: odd header" in text
    assert capsys.readouterr() == ("", "")


def test_verbose_shows_on_the_terminal_what_the_log_holds(tmp_path, capsys):
    with run_log(tmp_path, Request(verbose=True)):
        logging.getLogger("some.library").warning("odd header")
        LOGGER.debug("a detail")
        LOGGER.info("a note that the terminal has already")
    shown = capsys.readouterr().err
    assert "odd header" in shown and "a detail" in shown and "already" not in shown
    assert all(word in only_log(tmp_path) for word in ("odd header", "a detail", "already"))


def test_logging_is_as_before_afterwards(tmp_path):
    before = logging.getLogger().handlers[:], LOGGER.level
    with run_log(tmp_path, Request()):
        assert open_log() is not None
    assert (logging.getLogger().handlers, LOGGER.level) == before
    assert open_log() is None


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (ScanError("sub-01: no head"), "ERROR uadbids: sub-01: no head", 2),
        (KeyboardInterrupt(), "WARNING uadbids: stopped", 130),
        (ZeroDivisionError("of ours"), "CRITICAL uadbids: a fault of the program", 1),
    ],
)
def test_what_ends_a_run_early_is_in_the_log(tmp_path, error, line, status):
    with pytest.raises(type(error)), run_log(tmp_path, Request()):
        raise error
    text = only_log(tmp_path)
    assert line in text
    assert events(text)[-1].endswith(f"end, exit status {status}")
    assert ("Traceback" in text) == isinstance(error, ZeroDivisionError)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"), run_log(tmp_path / "out", Request()):
        pass


def test_a_full_disk_does_not_end_a_run(tmp_path, capsys):
    with run_log(tmp_path, Request()):
        handler = logging.getLogger().handlers[0]
        handler.stream.close()
        handler.stream = Path("/dev/full").open("w")  # noqa: SIM115 - as logging opens it
        LOGGER.info("lost")
    assert capsys.readouterr().err == ""


def test_a_worker_process_writes_to_the_same_log(tmp_path):
    code = (
        "import json, sys, warnings, pathlib\n"
        "from uadbids.run.runlog import join_log\n"
        "path, verbose = json.loads(sys.argv[1])\n"
        "join_log((pathlib.Path(path), verbose))\n"
        "warnings.warn('from a worker')\n"
    )
    with run_log(tmp_path, Request()):
        path, verbose = open_log()
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps([str(path), verbose])],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "from a worker" in only_log(tmp_path)


def test_without_a_log_there_is_none_to_join():
    join_log(None)
    assert open_log() is None


def test_runs_have_names_of_their_own():
    assert new_run_uuid() != new_run_uuid()
