"""From flags to settings, and what is told of a training."""

import json
import math
import time
from dataclasses import fields, replace
from io import StringIO
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from uadbids.errors import UsageError
from uadbids.model.bundle import CARD_FILE
from uadbids.model.calibration import calibrate
from uadbids.model.config import MODELS, TrainConfig
from uadbids.model.grid import TEMPLATE_SHAPE
from uadbids.run.cohort import CohortOptions, Member
from uadbids.run.options import RunOptions
from uadbids.run.progress import TrainingProgress, describe, duration
from uadbids.run.train import CROP, _final_config, _train, _Trainer, _training
from uadbids.run.train_settings import TrainOptions, network, read_about, train_config
from uadbids.run.training_report import COLUMNS, Trained, history_rows
from uadbids.training.distributed import World
from uadbids.training.fit import Epoch, History
from uadbids.training.healthy import Healthy, save_healthy
from uadbids.training.split import SplitOptions

CONFIG = TrainConfig(steps=1000, epoch_steps=100)


def epoch(step: int, val_mae: float = 0.02) -> Epoch:
    values = {field.name: 0.5 for field in fields(Epoch)}
    return Epoch(**values | {"step": step, "val_mae": val_mae, "active_units": 7, "seconds": 30.0})


@pytest.fixture
def options(tmp_path: Path) -> TrainOptions:
    return TrainOptions(
        output_dir=tmp_path / "out",
        name="mine",
        cohort=CohortOptions(tmp_path / "raw"),
        split=SplitOptions(),
        network=MODELS["dense3d"],
        config=CONFIG,
        run=RunOptions(tmp_path / "work"),
        about={},
    )


def trained(best: int, epochs: int = 10) -> Trained:
    past = tuple(epoch(100 * number) for number in range(1, epochs + 1))
    return Trained("fold 1 of 2", CONFIG, None, History(past, best), (), ())


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
        ({"steps": 70}, "--steps 70: give a multiple of 50"),
        ({"steps": 100, "epoch_steps": 70}, "--epoch-steps 70: give a multiple of 50"),
        ({"steps": 100, "epoch_steps": 150}, "that divides --steps 100"),
        ({"kl_reduction": "max"}, "--kl-reduction: choose one of mean, sum"),
        ({"patience": 0}, "patience"),
    ],
)
def test_trainings_that_cannot_be(settings, says):
    with pytest.raises(UsageError, match=says):
        train_config(**{"augment": True, "steps": 100} | settings)


@pytest.mark.parametrize(
    ("steps", "epoch_steps"), [(50, 50), (100, 100), (350, 50), (600, 200), (10_000, 250)]
)
def test_epochs_divide_the_steps_by_themselves(steps, epoch_steps):
    assert train_config(augment=True, steps=steps).epoch_steps == epoch_steps


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
        ('{"age": NaN}', "NaN is no value of JSON"),
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


@pytest.mark.parametrize("terminal", [True, False])
def test_the_loss_is_live_before_an_epoch_has_ended(terminal, monkeypatch):
    told, clock = StringIO(), count(0, 2)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    console = Console(file=told, force_terminal=terminal, width=200, soft_wrap=True)
    with TrainingProgress("mine", CONFIG, console) as progress:
        for step in range(401, 471):
            progress.step(step, 0.05)
    text = told.getvalue()
    assert "L1 0.0500" in text and " left" in text
    if not terminal:
        lines = text.splitlines()
        # Two seconds a step: the first after ten of this call, then one a minute.
        assert [line[:19] for line in lines] == [
            "mine: step 411/1000",
            "mine: step 441/1000",
        ]
        assert lines[0].endswith("20 min left")


def test_quiet_progress_is_silent():
    told = StringIO()
    console = Console(file=told, quiet=True)
    with TrainingProgress("mine", CONFIG, console) as progress:
        progress.epoch(epoch(100))
    assert told.getvalue() == ""


def test_outputs_that_cannot_be_written_are_refused_at_once(options):
    options.check()
    options.report_dir.rmdir()
    options.report_dir.touch()
    with pytest.raises(UsageError, match="mine-training cannot be written"):
        options.check()
    with pytest.raises(UsageError, match="cannot be written"):
        replace(options, output_dir=options.report_dir).check()


def test_a_report_does_not_go_into_another_bundle(options):
    options.report_dir.mkdir(parents=True)
    (options.report_dir / CARD_FILE).touch()
    with pytest.raises(UsageError, match="holds a model bundle"):
        options.check()


def test_a_batch_is_shared_out_before_anything_is_read(options):
    # The dataset does not exist: looking at it would be another sentence.
    with pytest.raises(UsageError, match="cannot be shared out to 2 processes"):
        _train(options, World(torch.device("cpu"), 0, 2))


def test_scans_without_healthy_brain_in_the_crop_are_told_and_left_out(options, tmp_path):
    members, told = [], StringIO()
    inside = CROP.mask(TEMPLATE_SHAPE)
    for label, excluded in (("a", inside), ("b", ~inside), ("c", ~inside)):
        brain = np.ones(TEMPLATE_SHAPE, dtype=bool)
        member = Member(f"sub-{label}", label, tmp_path / f"{label}.npz")
        save_healthy(Healthy(label, brain.astype(np.float32), brain, excluded), member.path)
        members.append(member)
    trainer = _Trainer(options, members, Console(file=told, width=200), World(torch.device("cpu")))
    assert told.getvalue().startswith("left out: sub-a has no healthy brain")
    trainer.check([frozenset("b")])
    with pytest.raises(UsageError, match="no scan is left"):
        trainer.check([frozenset("a")])


def test_card_tells_the_settings_of_the_model_that_is_in_the_bundle(options):
    tried = [trained(3), trained(5)]
    final = replace(trained(4), config=_final_config(tried, CONFIG))
    calibration = calibrate([np.linspace(0, 1, 1000, dtype=np.float32)])
    assert _training(options, [], tried, final, calibration)["config"]["steps"] == 500
