"""HD-BET's weights, as files: no nnU-Net is needed to find and to read them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uadbids.errors import UsageError
from uadbids.preproc import hd_bet
from uadbids.preproc.hd_bet import CHECKPOINT, FILES, find_weights


def fill(folder):
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_given_folder_comes_before_the_containers(tmp_path, monkeypatch):
    monkeypatch.setattr(hd_bet, "BAKED", tmp_path / "baked")
    assert find_weights(None) is None
    fill(tmp_path / "baked")
    assert find_weights(None) == tmp_path / "baked"
    assert find_weights(fill(tmp_path / "given")) == tmp_path / "given"


def test_missing_weights_are_named_even_where_the_container_has_some(tmp_path, monkeypatch):
    monkeypatch.setattr(hd_bet, "BAKED", fill(tmp_path / "baked"))
    (tmp_path / "plans.json").touch()
    with pytest.raises(UsageError, match=r"dataset.json, fold_all/checkpoint_final.pth missing"):
        find_weights(tmp_path)


def test_a_checkpoint_is_read_with_the_numbers_of_its_log(tmp_path):
    checkpoint = {
        "network_weights": {"layer": torch.arange(4.0)},
        "logging": {"loss": [np.float64(0.5), np.float32(0.25)], "epochs": np.int64(3)},
        "init_args": {"configuration": "3d_fullres"},
    }
    torch.save(checkpoint, tmp_path / "final.pth")
    found = hd_bet._read_checkpoint(tmp_path / "final.pth")
    torch.testing.assert_close(found["network_weights"]["layer"], torch.arange(4.0))
    assert found["logging"] == checkpoint["logging"]


class Bomb:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return open, ("exploded", "w")


@pytest.mark.parametrize("damage", ["code", "cut", "empty"])
def test_a_checkpoint_that_is_not_plain_data_is_refused(damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / CHECKPOINT
    path.parent.mkdir()
    if damage == "code":
        torch.save({"network_weights": Bomb()}, path)
    else:
        torch.save({"network_weights": torch.ones(99)}, path)
        path.write_bytes(path.read_bytes()[: 300 if damage == "cut" else 0])
    with pytest.raises(UsageError, match=r"checkpoint_final.pth: HD-BET's checkpoint cannot be"):
        hd_bet._read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=1000))
def test_bytes_at_random_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("weights") / "final.pth"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"final.pth: HD-BET's checkpoint cannot be"):
        hd_bet._read_checkpoint(path)
