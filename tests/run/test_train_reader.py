"""A reader is trained on with the scans of a cohort: from files to what a card says."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

from small_reader import arrays, scan, small_bundle
from uadbids.errors import UsageError
from uadbids.model.bundle import load_bundle
from uadbids.model.card import ReaderCard
from uadbids.model.config import ReaderConfig
from uadbids.model.grid import TEMPLATE_SHAPE, Crop
from uadbids.model.reader import Reader
from uadbids.run.cohort import Member
from uadbids.run.train_reader import ReaderOptions, train_reader
from uadbids.training.healthy import Healthy, save_healthy
from uadbids.training.reader_pack import read_pack, write_pack, write_pack_of

NETWORK = ReaderConfig(inputs=4, widths=(4, 8), flat=1)
PAST = {"what": "painted lesions", "steps": 10, "volumes": 40, "minutes": 1.0}


@pytest.fixture
def grid():
    start = tuple(int(n) for n in arrays()["start"])
    return Crop(start, arrays()["normal"].shape)


@pytest.fixture
def members(tmp_path, grid):
    """Two participants, one with a part left out."""
    found = []
    for number, label in enumerate("ab"):
        volume, mask, weight = (part.numpy() for part in scan())
        whole = {
            "volume": grid.restore(np.float32(volume) / 255, TEMPLATE_SHAPE),
            "mask": grid.restore(mask, TEMPLATE_SHAPE),
            "excluded": grid.restore(~weight & bool(number), TEMPLATE_SHAPE),
        }
        path = tmp_path / f"{label}.npz"
        save_healthy(Healthy(label, **whole), path)
        found.append(Member(f"sub-{label}", label, path))
    return found


@pytest.fixture
def lender(tmp_path):
    small_bundle(tmp_path / "small")
    found = load_bundle(tmp_path / "small", device="cpu")
    torch.manual_seed(0)
    card = replace(found.card, reader=ReaderCard(NETWORK, PAST, "b" * 64))
    return replace(found, card=card, reader=Reader(NETWORK).eval())


@pytest.fixture
def train(lender, members, tmp_path):
    write_pack(arrays(), tmp_path / "pack.npz.xz")

    def call(*, resume=True, pack="pack.npz.xz"):
        said = StringIO()
        reader, card = train_reader(
            lender, lender.model, lender.card.crop, members,
            ReaderOptions(tmp_path / pack, steps=2, depth=16), tmp_path / "mine", seed=1,
            workers=0, device=torch.device("cpu"), resume=resume, console=Console(file=said),
        )  # fmt: skip
        return reader.state_dict(), card, said.getvalue()

    return call


def test_a_pack_takes_the_scans_of_a_cohort(members, grid, tmp_path):
    write_pack(arrays(), tmp_path / "pack.npz.xz")
    write_pack_of(
        tmp_path / "pack.npz.xz",
        lambda part: [member.load().sample(part) for member in members],
        tmp_path / "own.npz.xz",
    )
    before, after = read_pack(tmp_path / "pack.npz.xz"), read_pack(tmp_path / "own.npz.xz")
    assert len(after.scans) == len(after.scan_weights) == 2
    for member, found in zip(members, after.scans, strict=True):
        assert all(map(torch.equal, found, member.load().sample(grid)))
    assert torch.equal(before.heads, after.heads) and before.start == after.start


def test_it_goes_on_from_the_reader_and_says_so(train, lender, tmp_path):
    weights, card, said = train()
    before = lender.reader.state_dict()
    assert any(not torch.equal(weights[name], before[name]) for name in before)
    # Normalisation stays as it was: batches are small.
    assert torch.equal(weights["enc.0.0.1.running_mean"], before["enc.0.0.1.running_mean"])
    assert card.training["steps"] == 12 and card.training["volumes"] == 40 + 8
    assert card.training["what"] == PAST["what"] and card.sha256 == ""
    assert "2 scans of this model's cohort" in card.training["trained_on_with"]
    assert "step 2/2" in said
    left = {path.name for path in tmp_path.glob("mine*")}
    assert left == {"mine_reader.pt"}


def test_a_finished_training_is_not_made_again(train):
    first, _, _ = train()
    again, card, said = train()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert "step" not in said and card.training["steps"] == 12
    assert "step 2/2" in train(resume=False)[2]


def test_a_file_that_is_no_pack_is_told(train, tmp_path):
    (tmp_path / "other").write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="no pack of the reader's training"):
        train(pack="other")
