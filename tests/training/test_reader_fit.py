"""Samples of the reader, and its training: reproducible, resumable, and it learns."""

import itertools
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from small_reader import (
    SEEN,
    SHAPE,
    arrays,
    lesion_masks,
    pack,
    vae,
)
from uadbids.errors import UadbidsError, UsageError
from uadbids.model.config import ReaderConfig
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader
from uadbids.preproc.intensity import MEDIAN_VALUE
from uadbids.training.lesion_painting import PaintingConfig
from uadbids.training.reader_fit import fit_reader
from uadbids.training.reader_pack import read_pack, write_pack
from uadbids.training.reader_samples import (
    BRAIN_MEDIAN,
    ReaderSample,
    SampleConfig,
    SampleMaker,
)
from uadbids.training.reader_settings import ReaderTraining
from uadbids.training.reader_workers import samples_from, seen_box

CPU = torch.device("cpu")
SETTINGS = SampleConfig(depth=16)
TINY = ReaderTraining(
    steps=9, epoch_steps=3, batch_size=2, repeated=1, kept=4, few=2, learning_rate=1e-2
)
NETWORK = ReaderConfig(inputs=4, widths=(4, 8), flat=1)


def maker(config=SETTINGS, seed="0"):
    return SampleMaker(pack(), vae(), SEEN, config, seed, CPU)


def middle(sample):
    """A part is enough to learn from, in a quarter of the time."""
    return ReaderSample(*(part[..., 8:40, 8:40, 4:12] for part in sample))


def broken():
    raise ValueError("no such pack")


@pytest.fixture(scope="module")
def validation():
    with samples_from(partial(maker, seed="validation"), 0, 0) as samples:
        return [middle(next(samples)) for _ in range(2)]


@pytest.fixture(scope="module")
def painted():
    """The first samples, made once: the training of a test asks for them by number."""
    with samples_from(maker, 0, 0) as samples:
        return [middle(next(samples)) for _ in range(10)]


def supply_of(painted):
    @contextmanager
    def supply(first):
        yield iter(painted[first:])

    return supply


@pytest.mark.parametrize("kind", ["head", "scan", "slices"])
def test_samples_of_every_kind_fit_the_network(kind):
    shares = {name: float(name == kind) for name in ("head", "scan", "slices")}
    making = maker(SampleConfig(depth=16, **shares))
    for number in range(3):
        inputs, label, weight = making.make(number)
        assert inputs.shape == (1, 4, *SHAPE[:2], 16)
        assert label.shape == weight.shape == (1, *SHAPE[:2], 16)
        assert torch.isfinite(inputs).all()
        assert label[weight == 0].max() == 0
        assert weight.max() == 1


def test_filled_lesions_of_a_real_scan_do_not_count():
    nothing = PaintingConfig(none=1, small=0, periventricular=0, large=0, stroke=0)
    making = maker(SampleConfig(head=0, scan=1, slices=0, depth=32, painting=nothing))
    known = [making.make(number) for number in range(4)]
    assert all(((sample.weight == 0) & (sample.inputs[:, 0] > -1.9)).any() for sample in known)


def test_a_sample_depends_on_seed_and_number_alone():
    one, other = maker(), maker()
    one.make(0)
    a, b = one.make(5), other.make(5)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    elsewhere = maker(seed="1").make(5)
    assert elsewhere.inputs.shape != a.inputs.shape or not torch.equal(elsewhere.inputs, a.inputs)


def test_the_median_is_that_of_the_preprocessing():
    assert BRAIN_MEDIAN == MEDIAN_VALUE


def test_workers_give_the_same_samples_in_the_same_order():
    making = maker()
    with samples_from(maker, 3, 2) as samples:
        for number in range(3, 6):
            made, found = making.make(number), next(samples)
            assert torch.equal(made.label, found.label)
            assert torch.allclose(made.inputs.float(), found.inputs.float(), atol=0.02)


def test_a_worker_that_fails_is_heard_of():
    with (
        samples_from(broken, 0, 1) as samples,
        pytest.raises(UadbidsError, match="ValueError: no such pack"),
    ):
        next(samples)


def test_a_training_goes_on_where_it_stopped(painted, validation, tmp_path):
    supply, file = supply_of(painted), tmp_path / "reader.pt"

    def run(checkpoint=None, on_epoch=None):
        torch.manual_seed(0)
        model = Reader(NETWORK)
        epochs = fit_reader(
            model, supply, validation, TINY, device=CPU, identity={"samples": "small"},
            checkpoint=checkpoint, on_epoch=on_epoch,
        )  # fmt: skip
        return model.state_dict(), epochs

    def interrupt(epoch):
        if epoch.step == 6:
            raise KeyboardInterrupt

    whole, epochs = run()
    with pytest.raises(KeyboardInterrupt):
        run(file, interrupt)
    resumed, again = run(file)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    assert [epoch.step for epoch in again] == [3, 6, 9]
    assert again[-1].samples == epochs[-1].samples < TINY.steps * TINY.batch_size
    with pytest.raises(UsageError, match="other"):
        fit_reader(
            Reader(NETWORK), supply, [], TINY, device=CPU, identity={"samples": "others"},
            checkpoint=file,
        )  # fmt: skip


def test_the_loss_falls():
    """On the same few lesions, again and again."""
    lesions = PaintingConfig(none=0, small=0, periventricular=0, large=1, stroke=0, radius=(6, 9))
    making = maker(SampleConfig(head=0, scan=1, slices=0, depth=16, painting=lesions))
    few = [middle(making.make(number)) for number in range(3)]

    @contextmanager
    def supply(first):
        yield itertools.islice(itertools.cycle(few), first, None)

    config = ReaderTraining(
        steps=48, epoch_steps=16, batch_size=2, repeated=0, learning_rate=0.02, averaging=0.8
    )
    torch.manual_seed(0)
    epochs = fit_reader(Reader(NETWORK), supply, few, config, device=CPU, identity={})
    assert epochs[-1].cross_entropy < 0.75 * epochs[0].cross_entropy
    assert epochs[-1].dice < epochs[0].dice
    assert epochs[-1].val_cross_entropy < epochs[0].val_cross_entropy


def test_statistics_are_frozen_at_the_end(painted):
    torch.manual_seed(0)
    model = Reader(NETWORK)
    seen = []

    def note(epoch):
        module = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d))
        seen.append(module.running_mean.clone())

    config = ReaderTraining(steps=6, epoch_steps=2, batch_size=1, repeated=0, frozen_from=0.5)
    fit_reader(model, supply_of(painted), [], config, device=CPU, identity={}, on_epoch=note)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_paints_and_trains_too():
    device = torch.device("cuda")
    making = SampleMaker(pack(), vae(), SEEN, SETTINGS, "0", device)
    samples = [making.make(number) for number in range(6)]
    config = ReaderTraining(steps=3, epoch_steps=3, batch_size=2, repeated=0)
    model = Reader(NETWORK)
    epochs = fit_reader(model, supply_of(samples), samples[:1], config, device=device, identity={})
    assert epochs[0].step == 3
    assert all(value.is_cuda for value in model.state_dict().values())


def test_minutes_end_a_training(painted):
    config = ReaderTraining(steps=40, minutes=1e-4, epoch_steps=50, batch_size=1, repeated=0)
    epochs = fit_reader(Reader(NETWORK), supply_of(painted), [], config, device=CPU, identity={})
    assert len(epochs) == 1 and 1 <= epochs[0].step < 40


def test_a_pack_comes_back_as_it_was_written(tmp_path):
    small, strokes = pack(), lesion_masks().strokes
    path = tmp_path / "pack.npz.xz"
    write_pack(arrays(), path)
    found = read_pack(path)
    assert torch.equal(found.heads, small.heads) and found.start == small.start
    for before, after in ((small.scans, found.scans), (small.slices, found.slices)):
        assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert torch.equal(found.lesions.strokes.mask(0), strokes.mask(0))
    assert len(found.lesions.small) == 2
    path.write_bytes(b"something else")
    with pytest.raises(UsageError, match="no pack"):
        read_pack(path)


def test_the_crop_of_the_vae_is_found_on_the_grid_of_the_pack():
    crop = Crop((5, 6, 52), (160, 192, 80))
    assert seen_box(crop, (5, 6, 4)) == (slice(0, 160), slice(0, 192), slice(48, 128))
