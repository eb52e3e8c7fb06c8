"""The figures of a training."""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from uadbids.reports.training import CURVES, Reconstructed, draw_curves, draw_reconstructions

SVG = "{http://www.w3.org/2000/svg}"


def history(count: int, **values: float) -> list[dict[str, float]]:
    base = {"reconstruction": 0.05, "kl": 0.4, "active_units": 12, "val_mae": 0.02}
    return [
        {"step": 50 * number, "kept": number == count, **base, **values}
        for number in range(1, count + 1)
    ]


def texts(path: Path) -> set[str]:
    return {(element.text or "").strip() for element in ElementTree.parse(path).iter(f"{SVG}text")}


def test_curves_show_what_is_there(tmp_path):
    out = draw_curves({"final": history(3)}, tmp_path / "curves.svg")
    told = texts(out)
    assert {CURVES["val_mae"], CURVES["kl"], "final", "kept"} <= told
    # Columns that the history lacks have no axis.
    assert CURVES["learning_rate"] not in told
    assert [path.name for path in tmp_path.iterdir()] == ["curves.svg"]


def test_trainings_without_held_out_scans_have_no_such_curve(tmp_path):
    out = draw_curves({"final": history(2, val_mae=math.nan)}, tmp_path / "curves.svg")
    assert CURVES["val_mae"] not in texts(out)


def test_folds_are_named_and_the_same_history_gives_the_same_bytes(tmp_path):
    runs = {"final": history(1)} | {f"fold {n} of 9": history(1) for n in range(1, 10)}
    first = draw_curves(runs, tmp_path / "a.svg").read_bytes()
    assert draw_curves(runs, tmp_path / "b.svg").read_bytes() == first
    assert {f"fold {n} of 9" for n in range(1, 10)} <= texts(tmp_path / "a.svg")


def test_reconstructions_have_three_rows_a_scan(tmp_path):
    shape = (40, 48, 30)
    mask = np.zeros(shape, bool)
    mask[8:32, 8:40, 4:26] = True
    volume = (np.random.default_rng(0).random(shape) * mask).astype(np.float32)
    scans = [
        Reconstructed(name, volume, mask, volume * 0.9, volume * 0.1) for name in ("sub-a", "sub-b")
    ]
    out = draw_reconstructions(scans, np.eye(4), 0.05, tmp_path / "r.svg")
    told = texts(out)
    assert {"sub-a: input", "sub-b: input", "reconstruction", "anomaly map"} <= told
    images = list(ElementTree.parse(out).iter(f"{SVG}image"))
    assert len(images) == 2 * 3 * 6 + 1
