import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from uadbids.errors import UsageError
from uadbids.model.config import AugmentConfig, TrainConfig, VAEConfig
from uadbids.model.vae import VAE, as_images
from uadbids.training.checkpoint import load_checkpoint
from uadbids.training.fit import Sample, fit, uses_bfloat16
from uadbids.training.samples import as_batch, loss_weight, pick

SHAPE = (16, 16, 16)
DENSE = VAEConfig(3, "dense", SHAPE, channels=(4, 8), latent=8)
SLICES = VAEConfig(2, "spatial", SHAPE[:2], channels=(4, 8), latent=4)
QUICK = TrainConfig(
    steps=40, epoch_steps=20, period=10, bf16=False, checkpoint_every=7, learning_rate=3e-3
)


def sample(seed, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[3:13, 3:13, 2:14] = True
    volume = (0.5 + 0.1 * torch.rand(shape, generator=generator)) * mask
    return Sample((255 * volume).to(torch.uint8), mask, torch.ones(shape, dtype=torch.uint8))


@pytest.fixture
def scans():
    return [sample(seed) for seed in range(3)]


def build(config=DENSE):
    torch.manual_seed(0)
    return VAE(config)


def comparable(history):
    return [replace(epoch, seconds=0.0) for epoch in history.epochs]


@pytest.mark.parametrize("architecture", [DENSE, SLICES])
def test_training_learns_and_tells_its_history(scans, architecture):
    seen = []
    config = replace(QUICK, steps=200, epoch_steps=50, augment=None)
    model = build(architecture)
    history = fit(model, scans, scans[:1], config, device="cpu", on_epoch=seen.append)
    assert tuple(seen) == history.epochs
    assert [epoch.step for epoch in seen] == [50, 100, 150, 200]
    assert all(epoch.beta == 1.0 and epoch.seconds > 0 for epoch in seen)
    assert seen[-1].reconstruction < 0.5 * seen[0].reconstruction
    assert history.epochs[history.best].val_mae == min(epoch.val_mae for epoch in seen)
    assert history.epochs[history.best].val_mae < 0.1
    assert not model.training


def test_model_ends_with_the_weights_of_the_best_epoch(scans):
    # So high a rate makes the last epoch worse than an earlier one.
    config = replace(QUICK, steps=120, learning_rate=0.2, schedule="constant", augment=None)
    model = build()
    history = fit(model, scans, scans[:1], config, device="cpu")
    assert history.best < len(history.epochs) - 1
    target = scans[0].volume[None, None] / 255.0
    inside = scans[0].mask[None, None]
    with torch.no_grad():
        error = (model(target).reconstruction - target).abs()[inside].mean()
    assert float(error) == pytest.approx(history.epochs[history.best].val_mae, rel=1e-4)


@pytest.mark.parametrize("stop_at", [3, 20, 33])
def test_interrupted_training_ends_like_an_uninterrupted_one(scans, tmp_path, stop_at):
    straight = build()
    expected = fit(straight, scans, scans[:1], QUICK, device="cpu")

    class Interrupting(list):
        """Scans that ask for a stop at one of the accesses."""

        count = 0

        def __getitem__(self, index):
            self.count += 1
            if self.count == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__getitem__(index)

    path = tmp_path / "run" / "checkpoint.pt"
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=f"step {stop_at}"):
        fit(build(), Interrupting(scans), scans[:1], QUICK, device="cpu", checkpoint=path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]

    torch.manual_seed(99)
    resumed = VAE(DENSE)
    history = fit(resumed, scans, scans[:1], QUICK, device="cpu", checkpoint=path)
    assert comparable(history) == comparable(expected)
    assert history.best == expected.best
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


class Slow(list):
    """Scans that take their time, so that a signal arrives amid an epoch."""

    def __getitem__(self, index):
        time.sleep(0.2)
        return super().__getitem__(index)


def test_a_process_that_is_terminated_amid_an_epoch_loses_nothing(scans, tmp_path):
    path = tmp_path / "checkpoint.pt"
    command = [sys.executable, __file__, str(path)]
    # Sums depend on the number of threads.
    same = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=same) as process:
        while not path.exists() and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
        told = process.communicate(timeout=240)[1].decode()
    assert "KeyboardInterrupt: Training was stopped at step" in told
    assert torch.load(path, weights_only=True)["state"]["step"] % QUICK.epoch_steps != 0

    straight, resumed = build(), build()
    expected = fit(straight, scans, scans[:1], QUICK, device="cpu")
    history = fit(resumed, scans, scans[:1], QUICK, device="cpu", checkpoint=path)
    assert comparable(history) == comparable(expected)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_fresh_training_replaces_a_checkpoint(scans, tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(build(), scans, scans[:1], replace(QUICK, seed=1), device="cpu", checkpoint=path)
    history = fit(build(), scans, scans[:1], QUICK, device="cpu", checkpoint=path, fresh=True)
    assert fit(build(), scans, scans[:1], QUICK, device="cpu", checkpoint=path) == history


def test_training_stops_when_patience_is_at_its_end(scans, tmp_path):
    # So high a rate makes the last epochs worse than an earlier one.
    config = replace(QUICK, steps=400, learning_rate=0.2, schedule="constant", patience=2)
    path, notes = tmp_path / "checkpoint.pt", []
    call = {"device": "cpu", "checkpoint": path, "on_note": notes.append}
    history = fit(build(), scans, scans[:1], config, **call)
    errors = [epoch.val_mae for epoch in history.epochs]
    assert len(errors) == history.best + 1 + 2 < 20
    assert errors[history.best] == min(errors)
    assert notes == [f"Stopped at step {20 * len(errors)}: no better for 2 epochs."]
    assert fit(build(), scans, scans[:1], config, **call) == history


def test_without_held_out_scans_patience_has_no_say(scans):
    history = fit(build(), scans, [], replace(QUICK, patience=1), device="cpu")
    assert len(history.epochs) == 2


def test_epochs_tell_learning_rate_and_sigma(scans):
    seen = fit(build(), scans, [], replace(QUICK, schedule="constant"), device="cpu").epochs
    # Warm-up takes 100 steps.
    assert [epoch.learning_rate for epoch in seen] == pytest.approx([20 * 3e-5, 40 * 3e-5])
    # Sigma is a mean over the last ten steps, the loss one over twenty.
    assert all(0.5 < epoch.sigma / epoch.reconstruction < 1.5 for epoch in seen)


@pytest.mark.parametrize("allocate", [partial(torch.empty, dtype=torch.uint8), bytearray])
def test_out_of_memory_is_told_with_advice(scans, allocate):
    class Greedy(list):
        def __getitem__(self, index):
            return allocate(2**60)

    with pytest.raises(UsageError, match="--batch-size"):
        fit(build(), Greedy(scans), scans[:1], QUICK, device="cpu")


def test_other_errors_of_torch_are_not_taken_for_memory(scans):
    wrong = [sample(0, (16, 16, 32))]
    with pytest.raises(ValueError, match="Expected"):
        fit(build(), wrong, [], QUICK, device="cpu")
    lying = [scans[0]._replace(mask=scans[0].mask[:8])]
    with pytest.raises(RuntimeError, match="size of tensor"):
        fit(build(), lying, [], QUICK, device="cpu")


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_bfloat16_is_used_on_request_where_the_cpu_has_it(monkeypatch, capability):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    cpu = torch.device("cpu")
    assert uses_bfloat16(TrainConfig(), cpu) == (capability == "AVX512")
    assert not uses_bfloat16(TrainConfig(bf16=False), cpu)


def test_finished_training_is_not_repeated(scans, tmp_path):
    path = tmp_path / "checkpoint.pt"
    first = fit(build(), scans, scans[:1], QUICK, device="cpu", checkpoint=path)
    assert fit(build(), scans, scans[:1], QUICK, device="cpu", checkpoint=path) == first


def test_checkpoint_of_another_training_is_refused(scans, tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(build(), scans, scans[:1], QUICK, device="cpu", checkpoint=path)
    others = [scans[0]._replace(volume=scans[0].volume + 1), *scans[1:]]
    for train, config in ((scans, replace(QUICK, seed=1)), (others, QUICK)):
        with pytest.raises(UsageError, match="other scans"):
            fit(build(), train, scans[:1], config, device="cpu", checkpoint=path)
    path.write_bytes(b"damaged")
    with pytest.raises(UsageError, match="cannot be read.*--no-resume"):
        fit(build(), scans, [], QUICK, device="cpu", checkpoint=path)


def test_checkpoint_that_cannot_be_opened_is_not_called_damaged(scans, tmp_path):
    with pytest.raises(UsageError, match="cannot be opened") as told:
        fit(build(), scans, [], QUICK, device="cpu", checkpoint=tmp_path)
    assert "remove" not in str(told.value)


class TooLarge:
    """Asks for more memory than there is while a checkpoint is read."""

    def __reduce_ex__(self, protocol):
        return bytearray, (2**60,)


def test_checkpoint_that_does_not_fit_into_memory_is_not_called_damaged(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": {}, "state": TooLarge()}, path)
    with pytest.raises(UsageError, match="memory") as told:
        load_checkpoint(path, {})
    assert "remove" not in str(told.value)


@pytest.mark.parametrize("bad_step", [0, 25])
def test_training_that_diverges_ends_in_a_sentence(scans, tmp_path, bad_step):
    class Spoiling(list):
        """Scans of which one access gives no numbers."""

        count = -1

        def __getitem__(self, index):
            self.count += 1
            found = super().__getitem__(index)
            if self.count != bad_step:
                return found
            return found._replace(volume=torch.full(SHAPE, torch.nan))

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(UsageError, match=f"loss of step {bad_step + 1} .*--learning-rate"):
        fit(build(), Spoiling(scans), scans[:1], QUICK, device="cpu", checkpoint=path)
    assert path.exists() == (bad_step > 0)


def test_weights_that_the_last_step_spoils_are_not_kept(scans):
    model, steps = build(), iter(range(1, 21))
    parameter = next(model.parameters())
    parameter.register_hook(lambda gradient: gradient * (math.nan if next(steps) == 20 else 1.0))
    with pytest.raises(UsageError, match="validation error of step 20 .*--learning-rate"):
        fit(model, scans, scans[:1], replace(QUICK, steps=20), device="cpu")


def test_left_out_voxels_have_no_weight_and_the_background_little(scans):
    volume, mask, _ = scans[0]
    weight = torch.ones(SHAPE, dtype=torch.uint8)
    weight[6:10, 6:10, 6:10] = 0
    batch = as_batch(Sample(volume, mask, weight), torch.device("cpu"))
    weights = loss_weight(batch)[0, 0]
    assert not weights[6:10, 6:10, 6:10].any()
    assert (weights[mask & (weight > 0)] == 1.0).all()
    assert ((weights[~mask] > 0) & (weights[~mask] < 0.2)).all()


def test_bytes_and_fractions_give_the_same_batch_without_background(scans):
    volume, mask, weight = scans[0]
    cpu = torch.device("cpu")
    as_bytes = as_batch(Sample(volume, mask, weight), cpu)
    as_floats = as_batch(Sample(volume / 255.0, mask, weight), cpu)
    torch.testing.assert_close(as_bytes.volume, as_floats.volume)
    dirty = as_batch(Sample(torch.full_like(volume, 9), mask, weight), cpu)
    assert not dirty.volume[0, 0][~mask].any()


def test_collapse_is_told(scans):
    config = replace(QUICK, kl_reduction="sum", learning_rate=0.0)
    model = build()
    for head in (model.to_mean, model.to_logvar):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.zeros_(head[-1].bias)
    history = fit(model, scans, scans[:1], config, device="cpu")
    assert history.epochs[-1].active_units == 0
    assert history.collapsed


def test_augmentation_and_corruption_can_be_turned_off_and_on(scans):
    results = set()
    for augment, corruption in [(None, False), (AugmentConfig(), False), (AugmentConfig(), True)]:
        config = replace(QUICK, augment=augment, corruption=corruption)
        results.add(fit(build(), scans, [], config, device="cpu").epochs[-1].reconstruction)
    assert len(results) == 3


def test_bfloat16_trains_as_well(scans, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    history = fit(build(), scans, scans[:1], replace(QUICK, bf16=True), device="cpu")
    assert history.epochs[-1].reconstruction < history.epochs[0].reconstruction


def test_every_validation_is_at_full_kl_weight():
    with pytest.raises(ValueError, match="multiple"):
        TrainConfig(steps=100, epoch_steps=60)
    with pytest.raises(ValueError, match="multiple"):
        TrainConfig(steps=120, epoch_steps=50)
    with pytest.raises(ValueError, match="schedule"):
        TrainConfig(schedule="stairs")


@pytest.mark.parametrize("wrong", [{"patience": 0}, {"batch_size": 0}])
def test_numbers_that_must_be_positive(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        TrainConfig(**wrong)


def test_no_scans_no_training():
    with pytest.raises(ValueError, match="at least one"):
        fit(build(), [], [], QUICK, device="cpu")


def test_each_pass_takes_every_scan_once_in_its_own_order():
    passes = [pick(7, 7 * number, 7, seed=3) for number in range(4)]
    assert all(sorted(order) == list(range(7)) for order in passes)
    assert len({tuple(order) for order in passes}) > 1
    assert pick(7, 5, 4, seed=3) == [*passes[0][5:], *passes[1][:2]]


def test_slices_become_the_batch_of_a_2d_model():
    x = torch.rand(2, 1, *SHAPE)
    images = as_images(SLICES, x)
    assert images.shape == (32, 1, 16, 16)
    assert torch.equal(images[16 + 5, 0], x[1, 0, :, :, 5])
    assert as_images(DENSE, x) is x


if __name__ == "__main__":
    slow = Slow([sample(seed) for seed in range(3)])
    fit(build(), slow, slow[:1], QUICK, device="cpu", checkpoint=Path(sys.argv[1]))
