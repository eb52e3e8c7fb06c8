from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from uadbids.model.config import AugmentConfig
from uadbids.training.augment import Batch, _linear, augment, brain_median, corrupt

STILL = AugmentConfig(
    flip=0.0,
    rotation=0.0,
    translation=0.0,
    scale=0.0,
    elastic=0.0,
    gamma=0.0,
    bias=0.0,
    thick_probability=0.0,
    in_plane=(1.0, 1.0),
    noise=0.0,
)
SHAPE = (40, 48, 32)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    mask = torch.zeros(2, 1, *SHAPE)
    mask[:, :, 8:32, 8:40, 6:26] = 1.0
    weight = mask.clone()
    weight[:, :, 10:14, 10:14, 10:14] = 0.0
    texture = 0.4 + 0.2 * torch.rand(2, 1, *SHAPE, generator=seeded(9))
    return Batch(texture * mask, mask, weight)


def test_nothing_asked_for_changes_nothing(batch):
    same = augment(batch, STILL, seeded())
    torch.testing.assert_close(same.volume, batch.volume, atol=1e-4, rtol=0)
    assert torch.equal(same.mask, batch.mask)
    assert torch.equal(same.weight, batch.weight)


def test_flip_mirrors_left_and_right_of_everything(batch):
    turned = augment(batch, replace(STILL, flip=1.0), seeded())
    torch.testing.assert_close(turned.volume, batch.volume.flip(2), atol=1e-4, rtol=0)
    assert torch.equal(turned.mask, batch.mask.flip(2))
    assert torch.equal(turned.weight, batch.weight.flip(2))


def test_seed_decides_everything(batch):
    config = AugmentConfig()
    first, again, other = (augment(batch, config, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first.volume, again.volume)
    assert not torch.equal(first.volume, other.volume)
    corrupted = [corrupt(batch, config, seeded(s)) for s in (1, 1, 2)]
    assert torch.equal(corrupted[0], corrupted[1])
    assert not torch.equal(corrupted[0], corrupted[2])


@pytest.mark.parametrize("seed", range(8))
def test_result_is_a_valid_batch(batch, seed):
    result = augment(batch, AugmentConfig(), seeded(seed))
    assert all(t.shape == batch.volume.shape for t in result)
    assert result.volume.min() >= 0.0 and result.volume.max() <= 1.0
    assert set(result.mask.unique().tolist()) == {0.0, 1.0}
    assert set(result.weight.unique().tolist()) == {0.0, 1.0}
    assert not result.volume[result.mask == 0].any()
    # Weights travel with the brain: the hole is still inside it, and of about its size.
    hole = (result.mask - result.weight).sum(dim=(1, 2, 3, 4))
    assert ((hole > 20) & (hole < 160)).all()


def test_movement_stays_within_what_was_asked_for(batch):
    config = replace(STILL, translation=3.0)
    positions = torch.arange(SHAPE[0], dtype=torch.float32).view(1, 1, -1, 1, 1)

    def centre(mask):
        return (mask * positions).sum((1, 2, 3, 4)) / mask.sum((1, 2, 3, 4))

    shifts = torch.stack(
        [centre(augment(batch, config, seeded(s)).mask) - centre(batch.mask) for s in range(12)]
    )
    assert 1.0 < shifts.abs().max() <= 3.5


def test_rotation_keeps_the_size_of_the_brain(batch):
    result = augment(batch, replace(STILL, rotation=8.0), seeded(3))
    assert not torch.equal(result.mask, batch.mask)
    ratio = result.mask.sum() / batch.mask.sum()
    assert 0.97 < float(ratio) < 1.03


@pytest.mark.parametrize("seed", range(4))
def test_moving_in_two_passes_is_moving_in_three_dimensions(seed):
    config = replace(STILL, flip=0.5, rotation=10.0, translation=4.0, scale=0.06)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    points = torch.stack(axes, dim=-1)
    wave = 1.0 + 0.3 * torch.sin(6 * axes[0]) * torch.cos(5 * axes[1] + axes[2])
    volume = (torch.exp(-3 * points.square().sum(-1)) * wave / 1.3)[None, None]
    everywhere = torch.ones_like(volume)
    result = augment(Batch(volume, everywhere, everywhere), config, seeded(seed)).volume

    generator = seeded(seed)
    matrix = _linear(1, config, generator)[0]
    shift = config.translation * (2.0 * torch.rand((1, 3), generator=generator) - 1.0)
    half = torch.tensor([(n - 1) / 2 for n in SHAPE])
    read_at = ((points * half).view(-1, 3) @ matrix + shift) / half
    expected = F.grid_sample(
        volume, read_at.flip(-1).view(1, *SHAPE, 3), padding_mode="border", align_corners=True
    )
    assert (expected - volume).abs().max() > 0.1
    torch.testing.assert_close(result, expected, atol=0.005, rtol=0)


def test_contrast_changes_keep_the_level_of_the_brain(batch):
    for seed in range(6):
        result = augment(batch, replace(STILL, gamma=0.4), seeded(seed))
        torch.testing.assert_close(
            brain_median(result.volume, result.mask),
            brain_median(batch.volume, batch.mask),
            atol=0.01,
            rtol=0,
        )


def test_bias_is_smooth_and_multiplicative(batch):
    flat = Batch(0.5 * batch.mask, batch.mask, batch.weight)
    result = augment(flat, replace(STILL, bias=0.1), seeded())
    field = result.volume[:, :, 8:32, 8:40, 6:26] / 0.5
    assert 0.02 < float(field.std()) < 0.3
    for axis in (2, 3, 4):
        assert float(field.diff(dim=axis).abs().max()) < 0.05
    assert abs(float(field.mean()) - 1.0) < 0.05


def test_thick_slices_blur_along_z_alone(batch):
    thick = replace(STILL, thick_probability=1.0, thick=(4.0, 4.0))
    result = augment(batch, thick, seeded()).volume[:, :, 8:32, 8:40, 8:24]
    before = batch.volume[:, :, 8:32, 8:40, 8:24]
    assert result.diff(dim=4).abs().mean() < 0.4 * before.diff(dim=4).abs().mean()
    columns = batch.volume[..., 15:16].expand_as(batch.volume).contiguous()
    everywhere = torch.ones_like(columns)
    same = augment(Batch(columns, everywhere, everywhere), thick, seeded())
    torch.testing.assert_close(same.volume, columns, atol=1e-4, rtol=0)


def test_corruption_stays_in_the_brain_and_leaves_the_target_alone(batch):
    before = batch.volume.clone()
    always = AugmentConfig(corruption_probability=1.0)
    changed = [corrupt(batch, always, seeded(s)) for s in range(10)]
    assert torch.equal(batch.volume, before)
    for volume in changed:
        assert torch.equal(volume[batch.mask == 0], before[batch.mask == 0])
        assert volume.min() >= 0.0 and volume.max() <= 1.0
    change = torch.stack(changed) - before
    assert float(change.max()) > 0.1
    assert float(change.mean()) > 0.0


def test_corruption_can_be_left_out(batch):
    never = AugmentConfig(corruption_probability=0.0)
    assert torch.equal(corrupt(batch, never, seeded()), batch.volume)


def test_empty_mask_stays_finite():
    empty = Batch(*(torch.zeros(1, 1, *SHAPE) for _ in range(3)))
    result = augment(empty, AugmentConfig(), seeded())
    assert torch.isfinite(result.volume).all()
    assert torch.isfinite(corrupt(result, AugmentConfig(), seeded())).all()
