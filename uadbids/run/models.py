"""List the packaged bundles, or show the card of one."""

import json

from uadbids.model.bundle import find_bundle, packaged_bundles, read_card, verify_bundle
from uadbids.model.calibration import Calibration

RATES = (0.001, 0.005, 0.01)
"""Shares of healthy voxels for which thresholds are given."""


def list_models() -> list[str]:
    """Return one line for each packaged bundle: name, network, what it learnt from."""
    lines = []
    for folder in packaged_bundles():
        card = read_card(folder)
        scans = card.training.get("n_scans", "?")
        network = f"{card.config.bottleneck} {card.config.dims}D"
        lines.append(f"{card.name}\t{network}\ttrained on {scans} scans\tsha256 {card.sha256[:12]}")
    return lines


def show_model(name: str) -> str:
    """Return the card of a bundle as JSON, with thresholds instead of its calibration table."""
    card = verify_bundle(find_bundle(name)).to_dict()
    calibration = Calibration.from_dict(card["calibration"])
    card["calibration"] = {
        "n_subjects": calibration.n_subjects,
        "n_voxels": calibration.n_voxels,
        "thresholds": thresholds(calibration),
    }
    return json.dumps(card, indent=2, ensure_ascii=False)


def thresholds(calibration: Calibration) -> dict[str, float]:
    """Return the threshold for each of `RATES` that the number of healthy voxels allows."""
    resolved = [rate for rate in RATES if rate * calibration.n_voxels >= 1]
    return {str(rate): round(calibration.threshold(rate), 6) for rate in resolved}
