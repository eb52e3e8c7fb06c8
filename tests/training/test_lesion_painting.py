"""Painted lesions: where they are, how bright, and what their labels say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from small_reader import SHAPE, lesion_masks, radius
from uadbids.synthesis.draws import Draws
from uadbids.training.lesion_kinds import Places
from uadbids.training.lesion_painting import (
    LesionMasks,
    PaintingConfig,
    another_contrast,
    leak,
    paint_lesions,
    soft_label,
)
from uadbids.training.lesion_shapes import BOX, LesionShapes, SmallShapes, small_lesions

CPU = torch.device("cpu")
KINDS = ("none", "small", "periventricular", "large", "stroke")
FEW = settings(max_examples=20, deadline=None)


def draws(seed):
    return Draws(str(seed), CPU)


def brain():
    """A brain of white matter under cortex, with ventricles; and its places."""
    reach = radius()
    mask, ventricles = reach < 20, reach < 4.5
    image = torch.where(ventricles, 0.15, torch.where(reach < 16, 1.0, 1.1)) * mask
    tissue = mask & ~ventricles
    white = tissue & (reach < 15)
    return image, Places(white, white, ventricles, tissue, mask, None, 1.0)


def only(kind, **settings):
    return PaintingConfig(**{name: float(name == kind) for name in KINDS}, **settings)


@given(st.sampled_from(KINDS[1:]), st.integers(0, 10_000))
@FEW
def test_a_sample_with_lesions_shows_one_and_its_label_lies_in_the_brain(kind, seed):
    image, places = brain()
    painted = paint_lesions(image, places, lesion_masks(), only(kind, most=6), draws(seed))
    assert (painted.share > 0.5).any()
    assert painted.share.min() >= 0 and painted.share.max() <= 1
    assert painted.share[~places.brain].max() == 0
    assert painted.share[places.ventricles].max() == 0
    assert torch.isfinite(painted.image).all()
    label = soft_label(painted.share)
    assert label.min() >= 0 and label.max() <= 1


@given(st.sampled_from(("small", "periventricular", "stroke")), st.integers(0, 10_000))
@FEW
def test_lesions_are_brighter_than_what_was_there(kind, seed):
    image, places = brain()
    config = only(kind, most=6, dark=0.0)
    painted = paint_lesions(image, places, lesion_masks(), config, draws(seed))
    lesion = (painted.share > 0.7) & places.white
    if lesion.any():
        gain = painted.image[lesion].mean() - image[lesion].mean()
        assert gain > 0.05


def test_nothing_else_is_changed():
    image, places = brain()
    config = only("small", dark=0.0)
    painted = paint_lesions(image, places, lesion_masks(), config, draws(5))
    untouched = painted.share == 0
    assert torch.equal(painted.image[untouched], image[untouched])


def test_a_halo_is_seen_around_lesions_and_not_labelled():
    image, places = brain()
    bare, within = (
        paint_lesions(
            image, places, lesion_masks(), only("small", most=1, halo=halo, dark=0), draws(3)
        )
        for halo in (0.0, 1.0)
    )
    assert torch.equal(bare.share, within.share)
    beside = bare.share == 0
    assert torch.equal(bare.image[beside], image[beside])
    gain = (within.image - image)[beside]
    assert gain.min() >= 0 and gain.max() > 0.02


def test_the_share_of_samples_without_lesions_is_as_asked():
    image, places = brain()
    config = PaintingConfig(most=2, dark=0.0)
    empty = [
        not paint_lesions(image, places, LesionMasks(), config, draws(seed)).share.any()
        for seed in range(100)
    ]
    assert 10 < sum(empty) < 36


def test_without_a_place_there_is_no_lesion():
    image, places = brain()
    none = torch.zeros_like(places.brain)
    nowhere = replace(places, white=none, deep=none, tissue=none, brain=none)
    for kind in KINDS[1:4]:
        painted = paint_lesions(image, nowhere, LesionMasks(), only(kind), draws(1))
        assert painted.share.max() == 0


def test_the_same_seed_paints_the_same():
    image, places = brain()
    one, two, other = (
        paint_lesions(image, places, lesion_masks(), only("small"), draws(s)) for s in (1, 1, 2)
    )
    assert torch.equal(one.image, two.image) and torch.equal(one.share, two.share)
    assert not torch.equal(one.share, other.share)


def test_global_seeds_do_not_matter():
    image, places = brain()
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - a library's global state is what is tested
        found.append(paint_lesions(image, places, lesion_masks(), PaintingConfig(), draws(7)))
    assert torch.equal(found[0].image, found[1].image)


def test_shapes_come_back_as_they_were_packed():
    masks = [np.ones((4, 3, 2), np.uint8), np.ones((1, 9, 9), np.uint8), np.eye(5)[None]]
    masks[2] = np.repeat(masks[2], 3, axis=0).astype(np.uint8)
    bits = [np.packbits(mask) for mask in masks]
    lengths = np.array([len(part) for part in bits])
    shapes = LesionShapes.of(np.concatenate(bits), lengths, np.array([m.shape for m in masks]))
    assert len(shapes) == 2  # the second is one voxel thin
    assert np.array_equal(shapes.mask(0), masks[0])
    assert np.array_equal(shapes.mask(1), masks[2])


@pytest.mark.parametrize("shapes", [None, lesion_masks().small])
def test_small_lesions_lie_in_the_middle_of_their_boxes(shapes):
    boxes = small_lesions(6, shapes, 1.0, SmallShapes(), draws(3))
    assert boxes.shape == (6, BOX, BOX, BOX)
    assert boxes.min() >= 0 and boxes.max() <= 1
    assert (boxes.amax((1, 2, 3)) > 0.5).all()
    at = torch.arange(BOX) - (BOX - 1) / 2
    for axis in range(3):
        others = tuple(a + 1 for a in range(3) if a != axis)
        profile = boxes.sum(others)
        assert ((profile * at).sum(1) / profile.sum(1)).abs().max() < 4


@given(st.integers(0, 1000))
@FEW
def test_a_leak_adds_to_the_mask_and_changes_nothing_in_it(seed):
    image, places = brain()
    leaked, mask = leak(image, places.brain, 1.0, draws(seed))
    assert (mask | ~places.brain).all()
    assert torch.equal(leaked[places.brain], image[places.brain])
    assert mask.shape == SHAPE


@given(st.integers(0, 1000))
@FEW
def test_another_contrast_keeps_the_order_and_white_matter(seed):
    values = torch.linspace(0, 2, 50)
    bent = another_contrast(values, 1.0, draws(seed))
    assert (bent.diff() >= 0).all() and bent[0] == 0
    assert another_contrast(torch.ones(1), 1.0, draws(seed)) == pytest.approx(1.0)
