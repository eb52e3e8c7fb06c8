import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uadbids.errors import UsageError
from uadbids.model.config import TrainConfig, VAEConfig
from uadbids.model.vae import VAE
from uadbids.training.fit import fit
from uadbids.training.samples import Sample, fingerprint

SCRIPT = Path(__file__).parents[2] / "recipes" / "packaged" / "elsewhere.py"
SHAPE = (16, 16, 16)
NETWORK = VAEConfig(3, "dense", SHAPE, channels=(4, 8), latent=8)
CONFIG = TrainConfig(steps=100, epoch_steps=50, seed=3)


@pytest.fixture(scope="module")
def elsewhere():
    spec = importlib.util.spec_from_file_location("elsewhere", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sample(seed, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(shape, generator=generator) < 0.7
    volume = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) * mask
    return Sample(volume, mask, torch.rand(shape, generator=generator) < 0.9)


@pytest.fixture
def samples(elsewhere):
    return elsewhere.Samples([sample(1), sample(2)], [sample(3)], CONFIG.seed)


def test_packing_loses_nothing(elsewhere, tmp_path):
    scans = [sample(seed, (5, 7, 3)) for seed in range(4)]
    path = tmp_path / "samples.npz"
    path.write_bytes(elsewhere.packed(scans, ["a", "b", "b", "c"], ["b"], 7))
    found = elsewhere.unpacked(path)
    assert fingerprint(found.train) == fingerprint([scans[0], scans[3]])
    assert fingerprint(found.held_out) == fingerprint(scans[1:3])
    assert found.seed == 7


def test_what_comes_back_is_a_finished_training(elsewhere, samples, tmp_path):
    record = tmp_path / "tiny.json"
    elsewhere.fit_model(NETWORK, samples, CONFIG, (record, tmp_path / "there.pt"), "cpu")
    home = tmp_path / "home.pt"
    assert elsewhere.restore_checkpoint(NETWORK, record, home) == CONFIG

    torch.manual_seed(9)
    model, made = VAE(NETWORK), []
    parts = samples.train, samples.held_out
    history = fit(model, *parts, CONFIG, device="cpu", checkpoint=home, on_epoch=made.append)
    assert made == []
    assert [epoch.step for epoch in history.epochs] == [50, 100]
    weights = load_file(record.with_suffix(".safetensors"))
    assert all(torch.equal(t, weights[name].float()) for name, t in model.state_dict().items())

    swapped = [samples.held_out, samples.train]
    with pytest.raises(UsageError, match="other scans"):
        fit(VAE(NETWORK), *map(list, swapped), CONFIG, device="cpu", checkpoint=home)


def test_a_finished_model_is_kept_and_one_of_other_settings_refused(
    elsewhere, samples, tmp_path, capsys
):
    files = tmp_path / "tiny.json", tmp_path / "tiny.pt"
    elsewhere.fit_model(NETWORK, samples, CONFIG, files, "cpu")
    before = files[0].read_bytes()
    capsys.readouterr()
    elsewhere.fit_model(NETWORK, samples, CONFIG, files, "cpu")
    assert capsys.readouterr().out == "tiny: kept\n"
    other = TrainConfig(steps=50, epoch_steps=50, seed=3)
    with pytest.raises(SystemExit, match="other settings"):
        elsewhere.fit_model(NETWORK, samples, other, files, "cpu")
    assert files[0].read_bytes() == before


def test_another_trainings_checkpoint_is_not_replaced(elsewhere, samples, tmp_path):
    record, home = tmp_path / "tiny.json", tmp_path / "home.pt"
    elsewhere.fit_model(NETWORK, samples, CONFIG, (record, tmp_path / "there.pt"), "cpu")
    other = TrainConfig(steps=50, epoch_steps=50, seed=4)
    fit(VAE(NETWORK), samples.train, [], other, device="cpu", checkpoint=home)
    before = home.read_bytes()
    with pytest.raises(UsageError, match="another model"):
        elsewhere.restore_checkpoint(NETWORK, record, home)
    assert home.read_bytes() == before


def test_training_there_needs_no_imaging_packages():
    heavy = ["ants", "bids", "cc3d", "deepbet", "nibabel", "nipype", "rich", "typer"]
    code = (
        "import json, runpy, sys\n"
        f"runpy.run_path({str(SCRIPT)!r})\n"
        f"print(json.dumps(sorted(set({heavy!r}) & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
