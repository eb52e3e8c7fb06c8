"""Heads on the template grid, and another acquisition of a volume."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from small_reader import SHAPE, radius, tissue_map
from uadbids.synthesis.draws import Draws
from uadbids.synthesis.morphology import dilate, distance, erode, near
from uadbids.synthesis.rescan import REAL, RescanConfig, rescan
from uadbids.synthesis.template_head import HeadConfig, make_head
from uadbids.synthesis.tissues import BRAIN, is_one_of
from uadbids.synthesis.wide_contrast import WideContrast, paint_wide

CPU = torch.device("cpu")
FEW = settings(max_examples=10, deadline=None)
QUIET = RescanConfig(noise=(1e-6, 1e-6), bias=(0.0, 0.0), gain=0.0)


def draws(seed=0):
    return Draws(str(seed), CPU)


def test_the_same_seed_gives_the_same_head():
    one, two, other = (make_head(tissue_map(), HeadConfig(), draws(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.image, other.image)


@given(st.integers(0, 10_000))
@FEW
def test_a_head_has_a_brain_in_its_mask(seed):
    head = make_head(tissue_map(), HeadConfig(), draws(seed))
    assert head.image.shape == head.tissue.shape == head.mask.shape == SHAPE
    assert torch.isfinite(head.image).all() and head.image.min() >= 0
    white = is_one_of(head.tissue, "white")
    assert 0.8 < head.image[erode(white, 1)].median() < 1.3
    brain = is_one_of(head.tissue, *BRAIN)
    assert (head.mask & brain).sum() > 0.7 * brain.sum()


def test_contrasts_are_wider_than_usual():
    tissue = tissue_map().long()
    cortex = erode(is_one_of(tissue, "cortex"), 1)
    found = [
        float(paint_wide(tissue, 0.5, WideContrast(), draws(seed))[cortex].mean())
        for seed in range(12)
    ]
    assert min(found) < 0.97 and max(found) > 1.25


@given(st.floats(1.0, 7.0), st.integers(0, 10_000))
@FEW
def test_thick_slices_keep_the_mean(thickness, seed):
    blob = torch.exp(-((radius() / 8) ** 2))
    parts = torch.stack([blob, blob])
    config = RescanConfig(
        cubic=0.0, thickness=(thickness, thickness), fine=(1.0, 1.0), coarse=(1.0, 1.0),
        noise=(1e-6, 1e-6), bias=(0.0, 0.0), gain=0.0,
    )  # fmt: skip
    image, share = rescan(parts, config, draws(seed))
    assert float(share.mean()) == pytest.approx(float(blob.mean()), rel=0.03)
    assert float(image.mean()) == pytest.approx(float(blob.mean()), rel=0.03)
    assert share.max() <= blob.max() + 1e-5 and share.min() >= 0


def test_what_is_sampled_with_the_image_has_neither_noise_nor_bias():
    flat = torch.ones((2, *SHAPE))
    noisy = RescanConfig(noise=(0.05, 0.05), bias=(0.1, 0.1))
    image, mask = rescan(flat, noisy, draws(3))
    inner = (slice(12, -12), slice(12, -12), slice(10, -10))
    assert image[inner].std() > 0.03
    assert mask[inner] == pytest.approx(1.0, abs=1e-4)


def test_real_scans_are_left_as_they_are_half_of_the_time():
    parts = torch.rand((1, *SHAPE))
    config = RescanConfig(untouched=REAL.untouched, bias=(0.0, 0.0))
    same = [torch.equal(rescan(parts, config, draws(seed)), parts) for seed in range(20)]
    assert 4 < sum(same) < 16


def test_masks_grow_and_shrink_by_cubes():
    mask = torch.zeros(9, 9, 9, dtype=torch.bool)
    mask[4, 4, 4] = True
    assert int(dilate(mask, 2).sum()) == 125
    assert torch.equal(erode(dilate(mask, 2), 2), mask)
    # The brain goes on where the grid ends.
    assert erode(torch.ones(5, 5, 5, dtype=torch.bool), 2).all()
    assert near(mask, 1.0).sum() == pytest.approx(1.0, abs=1e-4)


def test_distances_are_those_of_a_rough_ball():
    mask = torch.zeros(15, 15, 15, dtype=torch.bool)
    mask[7, 7, 7] = True
    found = distance(mask, 4)
    assert found[7, 7, 7] == 0 and found[7, 7, 10] == 3 and found[0, 7, 7] == 5
    assert found[8, 8, 7] == 2 and found[10, 10, 10] > 4 - 1e-6


@given(st.integers(0, 1000))
@FEW
def test_places_are_drawn_where_the_density_is(seed):
    density = torch.zeros(4, 5, 6)
    density[1, 2, 3], density[3, 4, 5] = 1.0, 3.0
    assert set(draws(seed).places(density, 20)) <= {(1, 2, 3), (3, 4, 5)}
    assert draws(seed).places(torch.zeros(4, 5, 6), 3) == []
