"""Each packaged model does the main job, and its card tells how well."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from uadbids.model.bundle import find_bundle, load_bundle, read_card
from uadbids.model.config import MODELS

WHERE, RADIUS_MM, BRIGHT = (159, 140, 31), 6.0, 160  # white matter of the example scan has 69
BASELINES = ("equalised intensity", "robust z of intensity")


@pytest.mark.parametrize("name", MODELS)
def test_card_tells_sources_and_figures_beside_the_baselines(name):
    card = read_card(find_bundle(name))
    assert card.name == name and card.config == MODELS[name]
    assert {"name", "licence"} <= set(card.training["sources"][0])
    assert not card.training["collapsed"]
    for method in ("this model", *BASELINES):
        figures = [key for group in card.results[method].values() for key in group]
        for wanted in ("Dice at 0.005", "average precision", "false-positive ml at 0.005"):
            assert wanted in figures


def test_default_beats_the_baselines_without_labels_as_its_card_says():
    results = read_card(find_bundle("dense3d")).results
    for group, row in results["this model"].items():
        if "Dice at 0.005" in row:
            best = max(results[name][group]["Dice at 0.005"] for name in BASELINES)
            assert row["Dice at 0.005"] > best


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_of_the_card(name):
    assert load_bundle(find_bundle(name), device="cpu").card.name == name


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, example_flair):
    """The example scan with one bright ball in white matter."""
    root = tmp_path_factory.mktemp("ball") / "raw"
    path = root / "sub-ball" / "anat" / "sub-ball_FLAIR.nii.gz"
    path.parent.mkdir(parents=True)
    about = {"Name": "ball", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    image = nib.load(example_flair)
    data = np.asarray(image.dataobj, dtype=np.float32)
    data[ball(image)] = BRIGHT
    nib.Nifti1Image(data.astype(np.int16), image.affine).to_filename(path)
    return root


def ball(image):
    grid = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    away = (grid - WHERE) * image.header.get_zooms()
    return np.linalg.norm(away, axis=-1) < RADIUS_MM


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_model_finds_a_bright_ball(name, dataset):
    out, work = dataset.parent / name, dataset.parent / "work"
    command = [sys.executable, "-m", "uadbids", dataset, out, "participant", "--model", name]
    done = subprocess.run(
        [*map(str, command), "-w", str(work)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    mask_file = out / "sub-ball/anat/sub-ball_space-orig_label-anomaly_mask.nii.gz"
    told = json.loads(mask_file.with_name(mask_file.name.replace("nii.gz", "json")).read_text())
    assert told["Model"] == name and told["ResidualKind"] == "tfce"
    image = nib.load(mask_file)
    truth, found = ball(image), np.asarray(image.dataobj) > 0
    assert (truth & found).sum() / truth.sum() > 0.6
