"""The reader in use: probability, map, boundary, and the bundle that carries it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from uadbids.detection.examine import ReaderScan, around_brain, lesion_probability
from uadbids.detection.postprocess import Boundary, segment
from uadbids.detection.residuals import RESIDUALS, residual
from uadbids.errors import BundleError
from uadbids.model.bundle import READER_FILE, find_bundle, load_bundle, save_bundle, verify_bundle
from uadbids.model.config import ReaderConfig
from uadbids.model.folded import FoldedReader
from uadbids.model.grid import Crop
from uadbids.model.reader import Reader

CPU = torch.device("cpu")
SMALL = ReaderConfig(widths=(4, 6, 8), flat=1)


def ball(size, radius):
    grid = np.indices((size,) * 3) - size // 2
    return np.sqrt((grid**2).sum(0)) <= radius


def small_scan(offset=0):
    brain = np.roll(ball(36, 12), offset, axis=0)
    noise = np.random.default_rng(0).normal(0.4, 0.02, brain.shape)
    volume = np.where(brain, np.roll(noise, offset, axis=0), 0).astype(np.float32)
    crop = Crop((0, 0, 4), (36, 36, 20))
    return ReaderScan(volume, volume, brain, crop, np.zeros_like(volume))


def small_reader(config=SMALL):
    torch.manual_seed(0)
    reader = Reader(config)
    for module in reader.modules():
        if isinstance(module, torch.nn.Conv3d):
            # So that values differ from place to place as those of a trained one do.
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return reader.eval()


def of_brain(reader, scan):
    cut, head = around_brain(scan)
    return head.restore(lesion_probability(reader, cut, CPU), scan.brain.shape)


@pytest.mark.parametrize(
    ("config", "slices"),
    [
        (SMALL, 8),
        (replace(SMALL, flat=2), 8),
        (replace(SMALL, flat=0), 8),
        (replace(SMALL, widths=(4, 6)), 6),  # what it works through at once is no part of 6
    ],
)
def test_folded_reader_gives_the_same(config, slices):
    reader, x = small_reader(config), 10 * torch.randn(2, 4, 16, 24, slices)
    with torch.inference_mode():
        before, after = reader(x), FoldedReader(reader)(x)
    assert before.std() > 0.01
    assert (after - before).abs().max() < 1e-4 * before.std()


def test_probability_is_one_of_the_brain_and_repeats():
    reader, scan = small_reader(), small_scan()
    once, again = (lesion_probability(reader, scan, CPU) for _ in range(2))
    assert np.array_equal(once, again)
    assert (once[~scan.brain] == 0).all()
    assert (once[scan.brain] > 0).all() and once.max() < 1


def test_place_in_the_array_does_not_matter():
    reader, moved = small_reader(), 5
    # What is reconstructed covers the slices alike, so that only the place differs.
    found, elsewhere = (of_brain(reader, small_scan(offset)) for offset in (0, moved))
    assert np.allclose(np.roll(found, moved, axis=0), elsewhere, atol=1e-5)


def test_what_is_no_brain_can_be_left_out():
    reader, scan = small_reader(), small_scan()
    cut, _ = around_brain(scan)
    assert 0 < cut.brain.size < scan.brain.size and cut.brain.sum() == scan.brain.sum()
    # Only what convolutions see at the edge of the grid differs.
    assert np.allclose(of_brain(reader, scan), lesion_probability(reader, scan, CPU), atol=1e-2)


def test_no_brain_no_probability():
    scan = small_scan()
    empty = scan._replace(brain=np.zeros_like(scan.brain))
    assert not lesion_probability(small_reader(), empty, CPU).any()


def test_the_map_needs_a_probability():
    x = np.ones((4, 4, 4), dtype=np.float32)
    with pytest.raises(ValueError, match="probability of a reader"):
        residual(x, x, x > 0, "reader")


def large_finding(probability):
    """A bright ball of 33 ml, of which the reader is sure or not."""
    inside = ball(56, 20)
    volume = np.random.default_rng(0).normal(0.4, 0.02, inside.shape).astype(np.float32)
    volume += 0.1 * inside
    brain = np.ones(inside.shape, dtype=bool)
    rebuilt = np.full_like(volume, 0.4)
    seen = np.where(inside, np.float32(probability), np.float32(0.001))
    with_reader = residual(volume, rebuilt, brain, "reader", 0.8, probability=seen)
    return inside, with_reader, residual(volume, rebuilt, brain, "tfce", 0.8)


def test_a_large_cluster_that_the_reader_confirms_keeps_its_own_height():
    inside, found, excess = large_finding(0.35)
    core = inside & (excess > 3)
    assert np.median(found[core] / excess[core]) == pytest.approx(1.0, abs=1e-6)


def test_a_large_cluster_that_the_reader_denies_is_low():
    inside, found, excess = large_finding(0.01)
    assert found[inside].mean() < 0.3 * excess[inside].mean()
    assert segment(
        found, inside, threshold=2.5, min_volume_mm3=10.0, spacing=(1.0, 1.0, 1.0),
        boundary=RESIDUALS["reader"].boundary,
    ).sum() == 0  # fmt: skip


def cut(anomaly, **boundary):
    everywhere = np.ones(anomaly.shape, dtype=bool)
    return segment(
        anomaly, everywhere, threshold=1.0, min_volume_mm3=10.0, spacing=(1.0, 1.0, 1.0),
        boundary=Boundary(**boundary),
    )  # fmt: skip


@pytest.mark.parametrize(("radius", "filled"), [(20, True), (12, False)])
def test_the_dark_core_of_a_large_finding_belongs_to_it(radius, filled):
    whole = ball(56, radius)
    anomaly = 2.0 * (whole & ~ball(56, 5)).astype(np.float32)
    assert cut(anomaly, fills=True)[28, 28, 28] == filled
    assert not cut(anomaly)[28, 28, 28]


@pytest.fixture(scope="module")
def packaged():
    return load_bundle(find_bundle("dense3d"), device="cpu")


def test_a_bundle_carries_its_reader(packaged, tmp_path):
    folder = tmp_path / "mine"
    reader = Reader(packaged.card.reader.config)
    save_bundle(replace(packaged, reader=reader), folder)
    card = verify_bundle(folder)
    again = load_bundle(folder, device="cpu").reader
    assert card.reader.sha256 != packaged.card.reader.sha256
    assert again.config == reader.config and not again.training
    content = bytearray((folder / READER_FILE).read_bytes())
    content[-1] ^= 1
    (folder / READER_FILE).write_bytes(content)
    for read in (verify_bundle, lambda path: load_bundle(path, device="cpu")):
        with pytest.raises(BundleError, match="SHA-256 differs"):
            read(folder)


def test_a_bundle_that_was_loaded_can_be_saved(packaged, tmp_path):
    card = save_bundle(packaged, tmp_path / "again")
    assert card.reader.sha256 == packaged.card.reader.sha256
    assert load_bundle(tmp_path / "again", device="cpu").card == card


def test_a_card_that_asks_for_a_reader_must_have_one(packaged):
    with pytest.raises(ValueError, match="needs a reader"):
        replace(packaged.card, reader=None)
