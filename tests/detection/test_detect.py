import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

from uadbids.detection.detect import detect
from uadbids.detection.examine import examine
from uadbids.errors import DeviceError, ScanError, UsageError
from uadbids.model.bundle import Bundle, Card
from uadbids.model.calibration import calibrate
from uadbids.model.config import DetectionConfig, TrainConfig, VAEConfig
from uadbids.model.grid import TEMPLATE_SHAPE, Crop
from uadbids.model.vae import VAE
from uadbids.training.fit import Sample, fit

CROP = Crop((69, 86, 69), (32, 32, 32))
CONFIG = VAEConfig(3, "dense", CROP.shape, channels=(8, 16, 16), latent=8)
# Unsmoothed: against so little noise the blurred seam of a lesion would count as lesion.
SETTINGS = DetectionConfig(residual="positive", false_positive_rate=0.01, smoothing_mm=0.0)
CPU = torch.device("cpu")


def brain():
    grid = np.indices(TEMPLATE_SHAPE) - np.reshape((85, 102, 85), (3, 1, 1, 1))
    return np.sqrt((grid**2).sum(axis=0)) <= 24


def healthy(seed, mask):
    generator = np.random.default_rng(seed)
    volume = 0.5 + 0.02 * generator.standard_normal(TEMPLATE_SHAPE)
    return (volume * mask).astype(np.float32)


@pytest.fixture(scope="module")
def mask():
    return brain()


def card_of(name, config, calibration):
    return Card(
        name=name,
        config=config,
        crop=CROP,
        preproc={},
        detection=SETTINGS,
        template_sha256="0" * 64,
        training={},
        calibration=calibration.to_dict(),
        results={},
        limits=(),
        license="Apache-2.0",
    )


@pytest.fixture(scope="module")
def bundle(mask):
    """A model really trained, in seconds, on balls of even tissue."""
    torch.manual_seed(0)
    model = VAE(CONFIG)
    inside = torch.from_numpy(CROP.apply(mask))
    samples = [
        Sample(torch.from_numpy(CROP.apply(healthy(seed, mask))), inside, inside)
        for seed in range(4)
    ]
    config = TrainConfig(steps=300, epoch_steps=100, learning_rate=5e-3, bf16=False, augment=None)
    fit(model, samples, samples[:1], config, device="cpu")
    found = [
        examine(healthy(seed, mask), mask, model, CROP, SETTINGS, device=CPU) for seed in (10, 11)
    ]
    calibration = calibrate([each.anomaly_map[each.examined] for each in found])
    card = card_of("toy", CONFIG, calibration)
    return Bundle(card, model, calibration)


@pytest.fixture
def lesion():
    grid = np.indices(TEMPLATE_SHAPE) - np.reshape((80, 105, 88), (3, 1, 1, 1))
    return np.sqrt((grid**2).sum(axis=0)) <= 4


def test_bright_lesion_is_found_and_little_else(bundle, mask, lesion):
    volume = healthy(20, mask)
    volume[lesion] = 0.85
    found = detect(volume, mask, bundle, device="cpu")
    dice = 2 * (found.lesions & lesion).sum() / (found.lesions.sum() + lesion.sum())
    assert dice > 0.8
    assert found.threshold == bundle.calibration.threshold(0.01)
    assert "2 held-out subjects" in found.threshold_source
    assert found.score is not None
    assert found.score[lesion].mean() > 0.99
    assert found.score.max() <= 1.0
    for array in (found.reconstruction, found.anomaly_map, found.score, found.lesions):
        assert array.shape == TEMPLATE_SHAPE
        # Nothing is claimed outside the brain or outside the crop.
        assert not array[~(mask & CROP.mask(TEMPLATE_SHAPE))].any()
    assert found.lesions.dtype == np.uint8
    assert not found.lesions[~found.examined].any()


def test_healthy_volume_keeps_the_false_positive_rate(bundle, mask):
    found = detect(healthy(30, mask), mask, bundle, device="cpu", min_volume_mm3=0.0)
    rate = (found.anomaly_map[found.examined] > found.threshold).mean()
    assert 0.003 < rate < 0.03


def test_examined_part_is_the_eroded_brain_in_the_crop(bundle, mask):
    found = detect(healthy(20, mask), mask, bundle, device="cpu")
    crop = CROP.mask(TEMPLATE_SHAPE)
    assert not found.examined[~(mask & crop)].any()
    # The ball of 24 mm reaches beyond the crop's faces, where nothing is eroded.
    assert found.examined[69, 102, 85] and found.examined[100, 102, 85]


def test_detection_is_deterministic_and_leaves_its_input_alone(bundle, mask):
    volume = healthy(20, mask)
    before = volume.copy()
    first, again = (detect(volume, mask, bundle, device="cpu") for _ in range(2))
    np.testing.assert_array_equal(first.anomaly_map, again.anomaly_map)
    np.testing.assert_array_equal(first.lesions, again.lesions)
    np.testing.assert_array_equal(volume, before)


def test_mask_may_be_of_whole_numbers_and_background_may_be_dirty(bundle, mask):
    volume = healthy(20, mask)
    clean = detect(volume, mask, bundle, device="cpu")
    dirty = detect(np.where(mask, volume, np.nan), mask.astype(np.uint8), bundle, device="cpu")
    np.testing.assert_array_equal(clean.anomaly_map, dirty.anomaly_map)


def test_user_threshold_and_rate(bundle, mask, lesion):
    volume = healthy(20, mask)
    volume[lesion] = 0.85
    given = detect(volume, mask, bundle, device="cpu", threshold=0.2)
    assert (given.threshold, given.threshold_source) == (0.2, "given by the user")
    strict = detect(volume, mask, bundle, device="cpu", false_positive_rate=0.0005)
    assert strict.threshold > bundle.calibration.threshold(0.01)
    assert "0.0005" in strict.threshold_source
    with pytest.raises(UsageError, match="one of threshold, false-positive rate and sensitivity"):
        detect(volume, mask, bundle, device="cpu", threshold=0.2, false_positive_rate=0.1)
    with pytest.raises(UsageError, match="finite"):
        detect(volume, mask, bundle, device="cpu", threshold=float("nan"))


def test_sensitivity_is_a_multiple_of_the_rate_of_the_model(bundle, mask, lesion):
    volume = healthy(20, mask)
    volume[lesion] = 0.85
    low, usual, high = (
        detect(volume, mask, bundle, device="cpu", sensitivity=name)
        for name in ("low", "default", "high")
    )
    unasked = detect(volume, mask, bundle, device="cpu")
    assert usual.threshold == unasked.threshold
    assert usual.threshold_source == unasked.threshold_source
    assert low.threshold > usual.threshold > high.threshold
    assert "low sensitivity" in low.threshold_source
    rate = 1.5 * bundle.card.detection.false_positive_rate
    assert high.threshold == bundle.calibration.threshold(rate)
    with pytest.raises(UsageError, match="low, default, high"):
        detect(volume, mask, bundle, device="cpu", sensitivity="some")


def test_other_residual_needs_a_threshold_and_has_no_score(bundle, mask, lesion):
    volume = healthy(20, mask)
    volume[lesion] = 0.15
    with pytest.raises(UsageError, match="calibrated for positive"):
        detect(volume, mask, bundle, device="cpu", residual="abs")
    found = detect(volume, mask, bundle, device="cpu", residual="abs", threshold=0.2)
    assert found.residual == "abs"
    assert found.score is None
    np.testing.assert_array_equal(found.lesions > 0, median_filter(lesion, 3))
    same = detect(volume, mask, bundle, device="cpu", residual="positive")
    assert same.score is not None


def test_smallest_lesion_can_be_raised(bundle, mask, lesion):
    volume = healthy(20, mask)
    volume[lesion] = 0.85
    assert not detect(volume, mask, bundle, device="cpu", min_volume_mm3=1e5).lesions.any()


def test_scans_that_cannot_be_examined_are_refused(bundle, mask):
    volume = healthy(20, mask)
    with pytest.raises(ScanError, match="on one 3D grid"):
        detect(volume[1:], mask, bundle, device="cpu")
    with pytest.raises(ScanError, match="No brain voxel"):
        detect(volume, np.zeros_like(mask), bundle, device="cpu")
    with pytest.raises(ScanError, match="not numbers"):
        detect(np.where(mask, np.nan, volume), mask, bundle, device="cpu")


def test_missing_device_is_refused(bundle, mask):
    with pytest.raises(DeviceError):
        detect(healthy(20, mask), mask, bundle, device="cuda:99")


def test_2d_bundle_detects_too(mask, lesion):
    torch.manual_seed(0)
    config = VAEConfig(2, "spatial", CROP.shape[:2], channels=(4, 8), latent=4)
    calibration = calibrate([np.linspace(0.0, 0.2, 5000)])
    card = card_of("slices", config, calibration)
    model = VAE(config).eval()
    model.decoder[-1].weight.data.zero_()
    model.decoder[-1].bias.data.fill_(0.5)  # every voxel is expected at 0.5
    volume = healthy(20, mask)
    volume[lesion] = 0.85
    found = detect(volume, mask, Bundle(card, model, calibration), device="cpu", threshold=0.2)
    np.testing.assert_array_equal(found.lesions > 0, median_filter(lesion, 3))
