"""From flags to settings, and what is told of a training."""

import json
import math
from dataclasses import fields, replace
from io import StringIO

import pytest
from rich.console import Console

from uadbids.commands.train import _final_config
from uadbids.commands.train_settings import network, read_about, train_config
from uadbids.commands.training_progress import TrainingProgress, describe, duration
from uadbids.commands.training_report import COLUMNS, Trained, history_rows
from uadbids.core.config import MODELS, TrainConfig
from uadbids.core.training import Epoch, History
from uadbids.errors import UsageError

CONFIG = TrainConfig(steps=1000, epoch_steps=100)


def epoch(step: int, val_mae: float = 0.02) -> Epoch:
    values = {field.name: 0.5 for field in fields(Epoch)}
    return Epoch(**values | {"step": step, "val_mae": val_mae, "active_units": 7, "seconds": 30.0})


def trained(best: int, count: int = 10) -> Trained:
    epochs = tuple(epoch(100 * number) for number in range(1, count + 1))
    return Trained("fold 1 of 2", None, History(epochs, best), (), ())


def test_network_changes_what_was_asked_for_alone():
    assert network("dense2d", None, ()) == MODELS["dense2d"]
    assert network("dense2d", 9, (2, 4)) == replace(MODELS["dense2d"], latent=9, channels=(2, 4))


def test_no_augmentation_is_no_corruption():
    assert train_config(augment=False, steps=100, epoch_steps=50).augment is None
    config = train_config(augment=True, steps=100, epoch_steps=50, batch_size=3)
    assert config.augment is not None and config.batch_size == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": 70}, "cannot be set up like this: steps"),
        ({"kl_reduction": "max"}, "--kl-reduction: choose one of mean, sum"),
        ({"patience": 0}, "patience"),
    ],
)
def test_trainings_that_cannot_be(settings, says):
    with pytest.raises(UsageError, match=says):
        train_config(augment=True, **settings)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (("dense4d", None, ()), "--model dense4d: choose one of dense2d, dense3d"),
        (("dense3d", None, (2,) * 7), "--latent, --channels: Every size"),
    ],
)
def test_networks_that_cannot_be(wanted, says):
    with pytest.raises(UsageError, match=says):
        network(*wanted)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "a JSON object is needed"),
        ('{"limits": "none"}', "list"),
    ],
)
def test_about_that_cannot_be(tmp_path, content, says):
    path = tmp_path / "about.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=says):
        read_about(path)


def test_about_is_taken_over(tmp_path):
    path = tmp_path / "about.json"
    path.write_text(json.dumps({"license": "CC0", "limits": ["adults"]}))
    assert read_about(path) == {"license": "CC0", "limits": ["adults"]}
    assert read_about(None) == {}


@pytest.mark.parametrize(
    ("best", "steps"), [((9, 9), 1000), ((4, 4, 6), 600), ((0, 1, 1), 200), ((0, 0), 100)]
)
def test_final_training_is_as_long_as_was_best_on_average(best, steps):
    config = _final_config([trained(number) for number in best], CONFIG)
    assert config.steps == steps
    assert replace(config, steps=CONFIG.steps) == CONFIG


def test_history_has_every_epoch_and_says_which_was_kept():
    rows = history_rows(trained(best=2))
    assert [row["step"] for row in rows] == list(range(100, 1001, 100))
    assert [row["step"] for row in rows if row["kept"]] == [300]


def test_every_column_of_the_history_has_a_meaning():
    assert set(history_rows(trained(0))[0]) <= set(COLUMNS)


def test_time_left_follows_the_pace():
    assert "60 s left" in describe(epoch(800), CONFIG)
    assert "held-out MAE 0.0200" in describe(epoch(800), CONFIG)
    assert "held-out" not in describe(epoch(800, math.nan), CONFIG)
    assert [duration(s) for s in (99, 120, 7200)] == ["99 s", "2 min", "2.0 h"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_or_lines(terminal):
    told = StringIO()
    console = Console(file=told, force_terminal=terminal, width=200, soft_wrap=True)
    with TrainingProgress("mine", CONFIG, console) as progress:
        for step in (100, 200):
            progress.epoch(epoch(step))
    text = told.getvalue()
    if terminal:
        assert "200/1000" in text
    else:
        assert [line[:19] for line in text.splitlines()] == [
            "mine: step 100/1000",
            "mine: step 200/1000",
        ]


def test_quiet_progress_is_silent():
    told = StringIO()
    console = Console(file=told, quiet=True)
    with TrainingProgress("mine", CONFIG, console) as progress:
        progress.epoch(epoch(100))
    assert told.getvalue() == ""
