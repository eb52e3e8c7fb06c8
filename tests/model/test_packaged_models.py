"""Each packaged model does the main job, and its card tells how well."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from heads import BALL_MM
from runs import examine
from uadbids.model.bundle import find_bundle, load_bundle, read_card
from uadbids.model.config import MODELS

# What `participant` takes where no other is named; its run is shared.
DEFAULT = "dense3d"
BASELINES = ("equalised intensity", "robust z of intensity")


@pytest.mark.parametrize("name", MODELS)
def test_card_tells_sources_and_figures_beside_the_baselines(name):
    card = read_card(find_bundle(name))
    assert card.name == name and card.config == MODELS[name]
    assert {"name", "licence"} <= set(card.training["sources"][0])
    assert not card.training["collapsed"]
    for method in ("this model", *BASELINES):
        figures = [key for group in card.results[method].values() for key in group]
        for wanted in ("Dice", "average precision", "false-positive ml"):
            assert any(figure.startswith(wanted) for figure in figures)


def test_default_beats_the_baselines_without_labels_as_its_card_says():
    results = read_card(find_bundle("dense3d")).results
    shared = set(results["this model"]) & set(results[BASELINES[0]])
    with_lesions = {group for group in shared if not group.startswith("healthy")}
    assert len(with_lesions) == 4
    for group in with_lesions:
        best = max(results[name][group]["Dice at 0.005"] for name in BASELINES)
        assert results["this model"][group]["Dice, label-free"] > best


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_of_the_card(name):
    assert load_bundle(find_bundle(name), device="cpu").card.name == name


@pytest.fixture(scope="module")
def work(tmp_path_factory, balls):
    """What the scan with the ball is once prepared, for all models."""
    return Path(shutil.copytree(balls.run.work, tmp_path_factory.mktemp("models") / "work"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_model_finds_a_bright_ball(name, balls, work):
    if name == DEFAULT:
        run = balls.run
    else:
        flags = ("--participant-label", "plain", "--model", name)
        run = examine(balls.root, work.parent / name, work, *flags)
    assert run.status == 0, run.text
    mask_file = run.out / "sub-plain/anat/sub-plain_space-orig_label-anomaly_mask.nii.gz"
    told = json.loads(mask_file.with_name(mask_file.name.replace("nii.gz", "json")).read_text())
    assert told["Model"] == name and told["ResidualKind"] == "reader"
    image = nib.load(mask_file)
    grid = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(apply_affine(image.affine, grid) - balls.centre, axis=-1)
    truth, found = away < BALL_MM, np.asarray(image.dataobj) > 0
    assert (truth & found).sum() / truth.sum() > 0.6
