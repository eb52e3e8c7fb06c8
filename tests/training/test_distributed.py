"""Several real processes that train together, against one process alone.

Run as a script, this file is one of those processes.
"""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from uadbids.errors import DeviceError, UsageError
from uadbids.model.config import TrainConfig, VAEConfig
from uadbids.model.vae import VAE
from uadbids.training.distributed import World, joined
from uadbids.training.fit import Epoch, History, Sample, fit
from uadbids.training.samples import draw_batch

CPU = torch.device("cpu")
SHAPE = (16, 16, 16)
MODEL = VAEConfig(3, "dense", SHAPE, channels=(16, 16), latent=8)
CONFIG = TrainConfig(
    steps=8, epoch_steps=4, period=2, batch_size=4, bf16=False, checkpoint_every=99
)


def sample(seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    # Brains of several sizes: were voxels averaged over a process, not volumes, it would show.
    mask[3:13, 3 : 10 + seed, 2:14] = True
    volume = (0.5 + 0.2 * torch.rand(SHAPE, generator=generator)) * mask
    weight = torch.rand(SHAPE, generator=generator) > 0.1 * seed
    return Sample(volume, mask, weight)


def scans():
    return [sample(seed) for seed in range(5)]


def build():
    torch.manual_seed(0)
    return VAE(MODEL)


class Stopping(list):
    """Scans that send this process a signal when the n-th of them is read."""

    def __init__(self, items, number):
        super().__init__(items)
        self.left = number

    def __getitem__(self, index):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)


def take_part(folder):
    """Train to the end; then again, until the second process alone is told to stop."""
    torch.set_num_threads(1)
    train, val = scans(), scans()[:3]
    with joined("cpu") as world:
        seen = []
        model = build()
        if not world.leads:  # Weights of the first process count.
            torch.nn.init.zeros_(next(model.parameters()))
        history = fit(model, train, val, CONFIG, device="cpu", on_epoch=seen.append)
        result = {
            "history": asdict(history) | {"collapsed": history.collapsed},
            "weights": model.state_dict(),
            "told": len(seen),
        }
        torch.save(result, folder / f"rank-{world.rank}.pt")
        # A process reads two of the four scans of a step: the sixth is of the third step.
        train = train if world.leads else Stopping(train, 6)
        checkpoint = folder / "checkpoint.pt"
        with pytest.raises(KeyboardInterrupt, match="step 3"):
            fit(build(), train, val, CONFIG, device="cpu", checkpoint=checkpoint)
        with pytest.raises(UsageError, match="multiple of the number of processes"):
            fit(build(), train, val, replace(CONFIG, batch_size=3), device="cpu")
        train = scans() if world.leads else scans()[1:]
        with pytest.raises(UsageError, match="the same scans"):
            fit(build(), train, val, CONFIG, device="cpu")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder with what two processes left."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = os.environ | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    try:
        told = [process.communicate(timeout=240)[1].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], told
    return folder


@pytest.fixture(scope="module")
def alone():
    model = build()
    return fit(model, scans(), scans()[:3], CONFIG, device="cpu"), model.state_dict()


def result_of(folder, rank):
    content = torch.load(folder / f"rank-{rank}.pt", weights_only=True)
    epochs = tuple(Epoch(**epoch) for epoch in content["history"]["epochs"])
    return History(epochs, content["history"]["best"]), content["weights"], content["told"]


def assert_alike(history, expected):
    assert history.best == expected.best
    assert len(history.epochs) == len(expected.epochs)
    for mine, other in zip(history.epochs, expected.epochs, strict=True):
        for name in ("step", "reconstruction", "kl", "val_mae", "sigma", "active_units"):
            assert getattr(mine, name) == pytest.approx(getattr(other, name), abs=1e-5), name


def assert_same_weights(weights, expected):
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-4, rtol=1e-3)


def test_two_processes_train_what_one_does(together, alone):
    for rank in range(2):
        history, weights, told = result_of(together, rank)
        assert_alike(history, alone[0])
        assert_same_weights(weights, alone[1])
        assert told == (2 if rank == 0 else 0)


def test_both_processes_end_with_the_same_bits(together):
    first, second = (result_of(together, rank)[1] for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_process_goes_on_where_two_were_stopped(together, alone):
    model = build()
    path = together / "checkpoint.pt"
    assert torch.load(path, weights_only=True)["state"]["step"] == 3
    history = fit(model, scans(), scans()[:3], CONFIG, device="cpu", checkpoint=path)
    assert_alike(history, alone[0])
    assert_same_weights(model.state_dict(), alone[1])


def test_the_parts_of_a_batch_are_the_batch():
    config = TrainConfig(batch_size=4)
    whole = draw_batch(scans(), 7, config, World(CPU))
    parts = [draw_batch(scans(), 7, config, World(CPU, rank, 2)) for rank in range(2)]
    for name in ("seen", "target", "weight"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    torch.testing.assert_close(whole.weight.mean((1, 2, 3, 4)), torch.ones(4))
    drawn = [[torch.rand(3, generator=g) for g in batch.generators] for batch in (whole, *parts)]
    assert torch.equal(torch.stack(drawn[0]), torch.stack(drawn[1] + drawn[2]))


def test_every_step_and_place_has_draws_of_its_own():
    config = TrainConfig(batch_size=2)
    draws = {
        float(torch.rand(1, generator=generator))
        for step in range(20)
        for generator in draw_batch(scans(), step, config, World(CPU)).generators
    }
    assert len(draws) == 40


def test_a_batch_is_shared_out_evenly_or_not_at_all():
    assert [list(World(CPU, rank, 3).share(range(6))) for rank in range(3)] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
    with pytest.raises(UsageError, match="batch of 4"):
        World(CPU, 0, 3).share(range(4))


def test_alone_nothing_is_exchanged(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world.leads and world.size == 1
        assert world.any(True) and not world.any(False)
        assert torch.equal(world.average(torch.tensor([2.0, 3.0])), torch.tensor([2.0, 3.0]))


@pytest.fixture
def one_of_two(monkeypatch):
    """Environment of a process that was told of another one, but not how to meet it."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_processes_that_cannot_meet_are_told_of_torchrun(one_of_two):
    with pytest.raises(UsageError, match="RANK.*torchrun"), joined("cpu"):
        pass


def test_number_of_processes_must_be_a_number(one_of_two):
    one_of_two.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="WORLD_SIZE is 'two'"), joined("cpu"):
        pass


def test_each_process_needs_a_gpu_of_its_own(one_of_two):
    one_of_two.setenv("LOCAL_RANK", "99")
    with pytest.raises(DeviceError, match="--nproc-per-node"), joined("cuda"):
        pass


def test_several_processes_cannot_have_the_same_gpu(one_of_two):
    one_of_two.setenv("LOCAL_RANK", "1")
    with pytest.raises(UsageError, match="'cuda:0'.*CUDA_VISIBLE_DEVICES"), joined("cuda:0"):
        pass


if __name__ == "__main__":
    take_part(Path(sys.argv[1]))
    # Now and then a thread of gloo outlives its group and aborts the interpreter on its way out
    # ("terminate called without an active exception"), when all results are written.
    sys.stderr.flush()
    os._exit(0)
