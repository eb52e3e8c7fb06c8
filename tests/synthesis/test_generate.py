"""Synthetic scans: what is drawn stays in its limits, and where it is put."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uadbids.synthesis.contrast import PaintConfig, paint
from uadbids.synthesis.generate import SynthesisConfig, _crop, synthesize
from uadbids.synthesis.random_fields import aged, between, blur, smooth_field
from uadbids.synthesis.scanner import ScannerConfig
from uadbids.synthesis.tissues import NAMES, TISSUES, column, is_one_of, tissue_of, unknown_labels

PLAIN = SynthesisConfig(
    flip=0.0,
    rotation=0.0,
    scale=0.0,
    elastic=0.0,
    ventricle_growth=(0.0, 0.0),
    sulcus_growth=(0.0, 0.0),
    paint=PaintConfig(lining=(0.0, 0.0), limbic=(0.0, 0.0)),
    scanner=ScannerConfig(volumetric=1.0, in_plane=(1.0, 1.0), bias=(0.0, 0.0), noise=(0.0, 0.0)),
)
"""Nothing moves and nothing is added: a scan shows the label map as it is."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head(size: int = 76) -> torch.Tensor:
    """Shells of skin, bone, fluid, cortex and white matter; ventricles; a putamen on the right."""
    axis = torch.arange(size) - size / 2
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    radius = torch.sqrt(x**2 + y**2 + z**2)
    labels = torch.zeros((size,) * 3, dtype=torch.int32)
    for label, reach in ((511, 35), (507, 33), (515, 30), (24, 26), (3, 24), (2, 20)):
        labels[radius < reach] = label
    labels[torch.sqrt(x**2 + (y / 2) ** 2 + z**2) < 5] = 4
    labels[(x - 13).abs() + y.abs() + z.abs() < 5] = 12
    return labels


def test_the_same_seed_gives_the_same_scan():
    one, two, other = (synthesize(head(), SynthesisConfig(), generator(s)) for s in (1, 1, 2))
    assert torch.equal(one.volume, two.volume) and torch.equal(one.brain, two.brain)
    assert one.spacing != other.spacing


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_makes_scans_too():
    made = synthesize(head().cuda(), SynthesisConfig(), torch.Generator("cuda").manual_seed(0))
    assert made.volume.is_cuda and made.brain.any()


@pytest.mark.parametrize("seed", range(4))
def test_a_scan_holds_the_whole_brain_inside_its_grid(seed):
    made = synthesize(head(), SynthesisConfig(), generator(seed))
    assert made.volume.shape == made.brain.shape
    assert torch.isfinite(made.volume).all() and made.volume.min() >= 0
    assert 0 <= made.ageing <= 1
    ml = float(made.brain.sum()) * torch.tensor(made.spacing).prod().item() / 1000
    # 26 mm of radius are 74 ml; three axes may change by 8 % each, and surfaces move.
    assert 45 < ml < 115
    border = torch.ones_like(made.brain)
    border[1:-1, 1:-1, 1:-1] = False
    assert not (made.brain & border).any()


def test_voxels_have_the_size_that_was_asked_for():
    thick = ScannerConfig(volumetric=0.0, in_plane=(0.9, 0.9), thickness=(4.0, 4.0))
    made = synthesize(head(), replace(PLAIN, scanner=thick), generator())
    assert made.spacing == pytest.approx((0.9, 0.9, 4.0))
    cubic = synthesize(head(), PLAIN, generator())
    assert cubic.spacing == (1.0, 1.0, 1.0)


def test_tissues_have_their_order_of_brightness():
    made = synthesize(head(), PLAIN, generator())
    middle = [int(c) for c in made.brain.nonzero().float().mean(0).round()]
    x, y, z = middle

    def around(dx: int, dy: int) -> float:
        place = made.volume[x + dx - 1 : x + dx + 2, y + dy - 1 : y + dy + 2, z - 1 : z + 2]
        return float(place.mean())

    assert around(-12, 0) == pytest.approx(1.0, abs=0.12)
    assert around(0, 0) < 0.5 < around(-12, 0) < around(0, -22)
    assert around(-28, 0) < 0.4


def test_right_stays_right_unless_flipped():
    labels = head()
    labels[labels == 12] = 24  # dark, on the right alone

    def dark_side(config: SynthesisConfig) -> float:
        made = synthesize(labels, config, generator(3))
        inside = made.brain.nonzero().float()
        centre = inside.mean(0)
        dark = (made.brain & (made.volume < 0.5)).nonzero().float()
        core = dark[(dark - centre).abs().amax(1) < 17]
        return float((core[:, 0] - centre[0]).sum())

    assert dark_side(PLAIN) > 100
    assert dark_side(replace(PLAIN, flip=1.0)) < -100


def test_ageing_widens_ventricles_and_sulci():
    moving = replace(PLAIN, ventricle_growth=(0.0, 4.0), sulcus_growth=(0.0, 1.0))

    def volumes(age: float) -> tuple[int, int]:
        made = synthesize(head(), replace(moving, ageing=(age, age)), generator(5))
        x, y, z = (int(c) for c in made.brain.nonzero().float().mean(0).round())
        dark = made.volume < 0.6
        ventricle = dark[x - 12 : x + 12, y - 15 : y + 15, z - 12 : z + 12]
        return int(ventricle.sum()), int((~dark & made.brain).sum())

    (young_ventricle, young_brain), (old_ventricle, old_brain) = volumes(0.0), volumes(1.0)
    assert old_ventricle > 1.3 * young_ventricle
    assert old_brain < young_brain


@pytest.mark.parametrize("lesion", [25, 57, 77, 78, 79])
def test_lesions_of_the_label_map_become_white_matter(lesion):
    labels = head()
    labels[24:30, 20:26, 30:36] = 2
    healthy = synthesize(labels, SynthesisConfig(), generator(4))
    labels[24:30, 20:26, 30:36] = lesion
    made = synthesize(labels, SynthesisConfig(), generator(4))
    assert torch.equal(made.volume, healthy.volume)


def test_walls_of_ventricles_and_limbic_cortex_can_be_bright():
    tissue = tissue_of(head())
    dim = PaintConfig(lining=(0.0, 0.0), limbic=(0.0, 0.0))
    bright = PaintConfig(lining=(0.8, 0.8), limbic=(0.2, 0.2))
    gain = paint(tissue, 0.5, bright, generator(6)) - paint(tissue, 0.5, dim, generator(6))
    wall = is_one_of(tissue, "white").clone()
    far = wall.clone()
    centre = torch.tensor([38.0, 38.0, 38.0])
    reach = (
        torch.stack(torch.meshgrid(*[torch.arange(76.0)] * 3, indexing="ij"), -1) - centre
    ).norm(dim=-1)
    wall &= reach < 8
    far &= (reach > 16) & (reach < 18)
    assert gain[wall].mean() > 5 * gain[far].mean().abs()
    assert gain[is_one_of(tissue, "cortex")].mean() > 0
    assert gain[is_one_of(tissue, "air")].abs().max() == 0


def test_noise_is_that_of_a_magnitude_image():
    noisy = replace(PLAIN, scanner=replace(PLAIN.scanner, noise=(0.05, 0.05), around=(30.0, 30.0)))
    air = synthesize(head(), noisy, generator()).volume[:8, :8]
    # Rayleigh: mean 1.25 sigma, narrowed where the noise is coarser than the voxels.
    assert 0.03 < air.mean() < 0.07
    assert air.min() >= 0


def test_labels_without_a_meaning_are_named():
    labels = head()
    labels[30, 30, 30] = 999
    with pytest.raises(ValueError, match="unknown labels: 999"):
        synthesize(labels, PLAIN, generator())


@pytest.mark.parametrize("cut", [0, 3, 4])
def test_a_head_is_cut_to_even_sizes_where_it_touches_the_edge_too(cut):
    tissue = tissue_of(head())[cut:, :, : 76 - cut]
    assert [size % 2 for size in _crop(tissue).shape] == [0, 0, 0]


def test_a_map_without_a_brain_is_refused():
    with pytest.raises(ValueError, match="no brain"):
        synthesize(torch.full((32, 32, 32), 515), PLAIN, generator())


def test_no_label_belongs_to_two_tissues():
    labels = [label for tissue in TISSUES.values() for label in tissue.labels]
    assert len(labels) == len(set(labels))
    places = tissue_of(torch.tensor(labels))
    assert [NAMES[i] for i in places.tolist()] == [
        name for name, tissue in TISSUES.items() for _ in tissue.labels
    ]
    assert column("mean")[NAMES.index("white")] == 1.0


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_unknown_labels_are_those_that_no_tissue_has(values):
    known = {label for tissue in TISSUES.values() for label in tissue.labels}
    assert unknown_labels(values) == sorted({v for v in values if v not in known})


@given(st.floats(-5, 5), st.floats(0, 5), st.floats(-1, 2), st.integers(0, 1000))
def test_draws_stay_in_their_limits(low, width, ageing, seed):
    limits = (low, low + width)
    assert low <= between(limits, generator(seed)) <= low + width
    assert low - 1e-6 <= aged(limits, ageing, generator(seed)) <= low + width + 1e-6


def test_blurring_keeps_the_sum_and_spreads_by_sigma():
    x = torch.zeros(1, 2, 31, 31, 31)
    x[:, :, 15, 15, 15] = 1.0
    spread = blur(x, (2.0, 0.0, 1.0))
    assert spread.sum((2, 3, 4)) == pytest.approx(1.0, abs=1e-4)
    axis = torch.arange(31.0) - 15
    widths = [float((spread[0, 0].sum(d) * axis**2).sum()) ** 0.5 for d in ((1, 2), (0, 2), (0, 1))]
    assert widths == pytest.approx([2.0, 0.0, 1.0], abs=0.15)


def test_smooth_fields_have_unit_variance():
    fields = torch.stack([smooth_field((1, 1, 40, 40, 40), 5.0, generator(s)) for s in range(10)])
    assert float(fields.square().mean()) == pytest.approx(1.0, abs=0.1)
    assert (fields.diff(dim=-1).abs().mean() < 0.4).item()
