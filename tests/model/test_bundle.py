import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from uadbids.errors import BundleError
from uadbids.model.bundle import (
    Bundle,
    Card,
    find_bundle,
    load_bundle,
    packaged_bundles,
    read_card,
    save_bundle,
    verify_bundle,
)
from uadbids.model.calibration import calibrate
from uadbids.model.config import DetectionConfig, VAEConfig
from uadbids.model.grid import Crop
from uadbids.model.vae import VAE

CONFIG = VAEConfig(3, "dense", (16, 16, 16), channels=(4, 8), latent=4)


def make_bundle(name="tiny"):
    torch.manual_seed(0)
    calibration = calibrate([np.linspace(0.0, 0.2, 5000)])
    card = Card(
        name=name,
        config=CONFIG,
        crop=Crop((70, 90, 70), (16, 16, 16)),
        preproc={"n4": [50, 50], "scale": "median"},
        detection=DetectionConfig(),
        template_sha256="a" * 64,
        training={"sources": ["toy"]},
        calibration=calibration.to_dict(),
        results={},
        limits=("A toy.",),
        license="Apache-2.0",
    )
    return Bundle(card, VAE(CONFIG).eval(), calibration)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "models" / "tiny"
    save_bundle(make_bundle(), path)
    return path


def edit_card(folder, change):
    path = folder / "card.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def replace_weights(folder, change):
    """Change the tensors, and put the new hash into the card."""
    path = folder / "weights.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_card(folder, lambda values: values.update(sha256=digest))


def test_round_trip_in_half_precision(tmp_path):
    bundle = make_bundle()
    card = save_bundle(bundle, tmp_path / "m")
    back = load_bundle(tmp_path / "m", device="cpu")
    assert back.card == read_card(tmp_path / "m") == card
    assert card == replace(bundle.card, sha256=card.sha256)
    assert back.calibration == bundle.calibration
    assert not back.model.training
    x = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        new, old = back.model(x).reconstruction, bundle.model(x).reconstruction
    assert new.dtype == torch.float32
    torch.testing.assert_close(new, old, atol=5e-3, rtol=0)
    weights = load_file(tmp_path / "m" / "weights.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_behind(tmp_path):
    for _ in range(2):
        save_bundle(make_bundle(), tmp_path / "m")
        content = {p.name: p.read_bytes() for p in (tmp_path / "m").iterdir()}
        assert set(content) == {"card.json", "weights.safetensors"}
    save_bundle(make_bundle(), tmp_path / "other")
    assert content == {p.name: p.read_bytes() for p in (tmp_path / "other").iterdir()}
    assert {p.name for p in tmp_path.iterdir()} == {"m", "other"}


def test_failed_save_leaves_the_former_bundle(folder):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    broken = make_bundle()
    next(broken.model.parameters()).data.fill_(1e9)
    with pytest.raises(BundleError, match="half precision"):
        save_bundle(broken, folder)
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_folder_with_other_things_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="other things"):
        save_bundle(make_bundle(), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_identity_follows_card_and_weights(folder):
    card = read_card(folder)
    assert len(card.identity) == 64
    assert card.identity == read_card(folder).identity
    assert replace(card, limits=()).identity != card.identity
    assert replace(card, sha256="b" * 64).identity != card.identity


def test_altered_weights_are_refused(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        load_bundle(folder, device="cpu")


def test_missing_weights_are_refused(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(folder, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop(next(iter(tensors))),
        lambda tensors: tensors.update(extra=torch.zeros(3).half()),
        lambda tensors: tensors.update({"decoder.1.bias": torch.zeros(7).half()}),
    ],
)
def test_tensors_that_do_not_fit_are_refused(folder, change):
    replace_weights(folder, change)
    with pytest.raises(BundleError, match="do not fit"):
        load_bundle(folder, device="cpu")


def test_weights_of_another_kind_are_refused(folder):
    path = folder / "weights.safetensors"
    torch.save({"a": torch.zeros(3)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_card(folder, lambda values: values.update(sha256=digest))
    with pytest.raises(BundleError, match="not a safetensors file"):
        load_bundle(folder, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("license"),
        lambda card: card.update(surprise=1),
        lambda card: card["config"].pop("latent"),
        lambda card: card["config"].update(latent=4.5),
        lambda card: card["config"].update(shape=[16, 16, 15]),
        lambda card: card["config"].update(shape=[32, 16, 16]),
        lambda card: card.update(config=[]),
        lambda card: card["crop"].update(start=[0, 0]),
        lambda card: card["crop"].update(shape=[16, 16, 32]),
        lambda card: card["detection"].update(residual="squared"),
        lambda card: card["detection"].update(erosion_mm=-1),
        lambda card: card["detection"].update(false_positive_rate=0),
        lambda card: card["detection"].update(smoothing_mm="much"),
        lambda card: card.update(name="../../etc"),
        lambda card: card.update(name=""),
        lambda card: card.update(name=7),
        lambda card: card.update(sha256="xyz"),
        lambda card: card.update(sha256=None),
        lambda card: card.update(limits="none"),
        lambda card: card.update(training=None),
        lambda card: card["calibration"].pop("residuals"),
        lambda card: card["calibration"]["residuals"].reverse(),
    ],
)
def test_card_that_is_not_valid_is_refused(folder, change):
    edit_card(folder, change)
    with pytest.raises(BundleError, match=r"card\.json is not valid"):
        read_card(folder)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_formats_are_refused(folder, version):
    edit_card(folder, lambda values: values.update(format_version=version))
    with pytest.raises(BundleError, match="reads format 1"):
        read_card(folder)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": NaN}', '{"a": 1, "a": 2}', "\xff", '["format_version"]']
)
def test_text_that_is_no_card_is_refused(folder, text):
    (folder / "card.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError):
        read_card(folder)


def test_cards_are_read_without_torch(folder):
    code = (
        "import sys; from pathlib import Path; from uadbids.model.bundle import read_card;"
        "read_card(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0


def test_changed_weights_are_told_before_anything_runs(folder):
    assert verify_bundle(folder).name == "tiny"
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        verify_bundle(folder)
    path.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        verify_bundle(folder)


def test_network_larger_than_the_weights_takes_no_memory(folder):
    edit_card(folder, lambda values: values["config"].update(channels=[2**16, 2**16]))
    with pytest.raises(BundleError, match="do not fit the card's architecture"):
        load_bundle(folder, device="cpu")


@pytest.mark.parametrize("start", [[500, 0, 0], [-1, 0, 0], [160, 90, 70]])
def test_crop_outside_the_template_is_refused(folder, start):
    edit_card(folder, lambda values: values["crop"].update(start=start))
    with pytest.raises(BundleError, match="template grid"):
        read_card(folder)


def test_unknown_key_in_the_calibration_is_refused(folder):
    edit_card(folder, lambda values: values["calibration"].update(thresholds={"0.005": "NaN"}))
    with pytest.raises(BundleError, match="thresholds"):
        read_card(folder)


def test_bundles_are_found_by_path_and_by_packaged_name(folder):
    assert find_bundle(folder) == folder
    assert find_bundle(str(folder)) == folder
    for path in packaged_bundles():
        assert find_bundle(path.name) == path


@pytest.mark.parametrize("name", ["no-such-model", "../bundles", "..", ".", "", "a/../../b"])
def test_names_that_lead_nowhere_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="No model bundle"):
        find_bundle(name)
