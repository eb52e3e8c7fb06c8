"""List the packaged bundles, or show the card of one."""

from __future__ import annotations

import json

from uadbids.bundle import find_bundle, packaged_bundles, read_card


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
    """Return the card of a bundle as JSON, without its calibration table."""
    card = read_card(find_bundle(name)).to_dict()
    card["calibration"] = {key: card["calibration"][key] for key in ("n_subjects", "n_voxels")}
    return json.dumps(card, indent=2, ensure_ascii=False)
