"""The recipe of the packaged reader: its sources, and a training from files."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from small_reader import NETWORK, arrays, small_bundle
from uadbids.model.bundle import find_bundle, load_bundle
from uadbids.model.config import MODELS, ReaderConfig
from uadbids.model.reader import Reader
from uadbids.training.reader_pack import PACKED, write_pack
from uadbids.training.reader_samples import SampleConfig
from uadbids.training.reader_settings import ReaderTraining

FOLDER = Path(__file__).parents[2] / "recipes" / "packaged"
SMALL = ReaderConfig(inputs=4, widths=(4, 8), flat=1)
TINY = ReaderTraining(steps=2, epoch_steps=1, batch_size=1, repeated=0)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def files(tmp_path):
    """A pack, and the bundle of a VAE."""
    write_pack(arrays(), tmp_path / "pack" / PACKED)
    small_bundle(tmp_path / "small")
    return tmp_path / "pack", tmp_path / "small", tmp_path / "out"


def test_a_slice_loses_what_is_bright_and_keeps_its_place(script):
    sources = script("reader_sources")
    image = np.zeros((189, 160), np.uint8)
    y, x = np.mgrid[:189, :160]
    image[((y - 90) / 75) ** 2 + ((x - 80) / 60) ** 2 < 1] = 100
    rng = np.random.default_rng(0)
    image[image > 0] += rng.integers(0, 9, (image > 0).sum()).astype(np.uint8)
    image[60:64, 50:54] = 220
    plane, mask, normal = sources.one_slice(image)
    assert plane.shape == mask.shape == sources.BOX.shape[:2]
    # The first row is in front, and front is up.
    assert (plane[50:54, 1 + 189 - 64 : 1 + 189 - 60] == 220).all()
    assert not normal[52, 1 + 189 - 62] and normal[mask].mean() > 0.98
    assert sources.one_slice(np.zeros((189, 160), np.uint8)) is None


def test_shapes_and_places_are_brought_to_the_box(script, tmp_path):
    sources = script("reader_sources")
    from uadbids.preproc.template import Template

    template = Template.packaged()
    where = np.zeros((40, 50, 40), np.uint8)
    where[20, 25, 20] = 255
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-80, -120, -70)
    nib.Nifti1Image(where, affine).to_filename(tmp_path / "frequency.nii.gz")
    np.savez(tmp_path / "shapes.npz", bits=np.zeros(4, np.uint8), length=[4], shape=[(3, 3, 3)])
    found = sources.places(tmp_path)
    peak = np.unravel_index(found["frequency"].argmax(), found["frequency"].shape)
    voxel = np.array(peak) + sources.BOX.start
    assert (template.affine @ [*voxel, 1])[:3] == pytest.approx([0, -20, 10], abs=1)
    assert found["normal"].shape == sources.BOX.shape and found["normal"].max() > 1

    blob = np.zeros((40, 50, 40), np.uint8)
    blob[20:23, 25:28, 20:23] = 1
    nib.Nifti1Image(blob, affine).to_filename(tmp_path / "a_lesion.nii.gz")
    (tmp_path / "frequency.nii.gz").unlink()
    masks = sources.strokes(tmp_path)["strokes"]
    assert masks.shape == (1, *sources.BOX.shape)
    assert 0.7 * 27 * 64 < masks.sum() < 27 * 64  # corners are rounded


def test_a_training_from_files_ends_with_weights_and_a_record(script, files, capsys):
    reader = script("reader")
    packed, bundle, out = files
    settings = {"device": "cpu", "workers": 0, "samples": SampleConfig(depth=16), "validation": 1}
    reader.fit(packed, bundle, out, TINY, SMALL, **settings)
    record = json.loads((out / "reader.json").read_text())
    assert [epoch["step"] for epoch in record["epochs"]] == [1, 2]
    assert record["device"] == "CPU"
    weights = load_file(out / "reader.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in weights.values())
    model = Reader(SMALL)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    reader.bundle(out, [bundle])
    found = load_bundle(bundle, device="cpu")
    assert found.card.reader.training["steps"] == 2
    first, more = shutil.copytree(bundle, out.with_name("first")), out.with_name("more")
    reader.fit(packed, bundle, more, TINY, SMALL, **settings, start=bundle)
    reader.bundle(more, [bundle])
    assert load_bundle(bundle, device="cpu").card.reader.training["steps"] == 4
    reader.bundle(more, [bundle], mean_with=first, share=0.25)
    before, new, mean = (load_file(f / "reader.safetensors") for f in (first, more, bundle))
    assert any(not torch.equal(before[name], new[name]) for name in before)
    for name, tensor in mean.items():
        if name.endswith("num_batches_tracked"):
            continue
        expected = torch.lerp(before[name].float(), new[name].float(), 0.25)
        assert torch.allclose(tensor.float(), expected, rtol=1e-3, atol=1e-4)
    assert found.card.config == NETWORK and found.reader.config == SMALL
    other = shutil.copytree(find_bundle("spatial2d"), out.with_name("other"))
    reader.lend(bundle, [other])
    lent = load_bundle(other, device="cpu").card
    assert lent.reader.sha256 == load_bundle(bundle, device="cpu").card.reader.sha256
    assert lent.reader.training["taken_from"] == found.card.name
    assert lent.config == MODELS["spatial2d"] and lent.detection == found.card.detection
    x = torch.rand(1, 4, 8, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(found.reader(x), model.eval()(x), atol=1e-3)
    capsys.readouterr()
    reader.fit(packed, bundle, out, TINY, SMALL, **settings)
    assert "kept" in capsys.readouterr().out
