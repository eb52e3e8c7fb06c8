"""Fuzz what reads images and bundles, guided by coverage: read, or refused with our own error.

    PYTHONPATH=tests python -m robustness.fuzz {header,bundle} FOLDER --seconds 60

Needs atheris (``pip install 'uadbids[fuzz]'``). Inputs that reached something new are kept in
FOLDER, and the same command goes on from them; one that ends in another error, takes more than
2 GB or half a minute is kept there as ``crash-*``, ``oom-*`` or ``timeout-*``, and the status
is not 0.
"""

import argparse
import gzip
import hashlib
import json
import logging
import os
import random
import struct
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["uadbids", "nibabel"]):
    import nibabel as nib
    import numpy as np

    from uadbids.detection.threshold import choose_threshold
    from uadbids.errors import UadbidsError
    from uadbids.model.bundle import (
        CARD_FILE,
        WEIGHTS_FILE,
        Bundle,
        find_bundle,
        load_bundle,
        read_card,
        save_bundle,
    )
    from uadbids.model.calibration import Calibration
    from uadbids.model.config import VAEConfig
    from uadbids.model.grid import Crop
    from uadbids.model.vae import VAE
    from uadbids.preproc.config import PreprocConfig
    from uadbids.preproc.conform import conform

LENGTH = struct.Struct("<Q")  # as safetensors has it before its own JSON
ODD = (None, True, -1, 0, 1, 3, 2**31, 2**70, 1e308, -1e-9, "", "x", "F64", [], [0], {}, [[]])


def headers() -> list[bytes]:
    """Sound images: a byte that tells how the rest is packed, and the file."""
    data = np.arange(990, dtype=np.int16).reshape(9, 10, 11)
    image = nib.Nifti1Image(data, np.diag([2, 2, 3, 1]))
    image.set_qform(image.affine, code=1)
    content = image.to_bytes()
    return [b"\0" + content, b"\1" + content, b"\2" + gzip.compress(content, mtime=0)]


def fuzz_header(content: bytes, folder: Path) -> None:
    kind, content = content[:1], content[1:]
    path = folder / ("x.nii" if kind == b"\0" else "x.nii.gz")
    path.write_bytes(gzip.compress(content, 1, mtime=0) if kind == b"\1" else content)
    conform(path, folder / "out.nii")
    image = nib.load(folder / "out.nii")
    if not np.isfinite(image.get_fdata()).all() or not np.abs(np.linalg.det(image.affine)) > 0:
        raise AssertionError("the conformed image is none")


def bundles() -> list[bytes]:
    """A small sound bundle: the length of its card, its card, its weights."""
    card = read_card(find_bundle("spatial2d"))
    calibration = Calibration((0.0, 0.5, 1.0), (0.0, 0.1, 0.3), 3, 5000)
    seeds = []
    for dims, bottleneck in ((2, "spatial"), (3, "dense")):
        config = VAEConfig(dims, bottleneck, (4, 4, 4)[:dims], channels=(1, 1), latent=1)
        small = replace(card, config=config, crop=Crop((70, 90, 70), (4, 4, 4)), results={})
        with tempfile.TemporaryDirectory() as folder:
            save_bundle(Bundle(small, VAE(config).eval(), calibration), Path(folder) / "x")
            text, weights = (Path(folder, "x", f).read_bytes() for f in (CARD_FILE, WEIGHTS_FILE))
        seeds.append(_join(text, weights))
    return seeds


def mutate_bundle(content: bytes, max_size: int, seed: int) -> bytes:
    """Change bytes, or one value of the card's JSON or of that in the weights."""
    draw = random.Random(seed)
    if draw.random() < 0.3:
        return atheris.Mutate(content, max_size)
    try:
        card, weights = _split(content)
        is_card = draw.random() < 0.7
        whole, rest = (card, weights) if is_card else _split(weights)
        values = json.loads(whole)
        _replace_one(values, draw)
        whole = json.dumps(values).encode()
    except (ValueError, RecursionError, struct.error):
        return atheris.Mutate(content, max_size)
    if not is_card:
        whole, rest = card, _join(whole, rest)
    return _join(whole, rest)[:max_size]


def _replace_one(values: Any, draw: random.Random) -> None:
    """Replace, take out or double one value, wherever it stands."""
    places = [(values, key) for key in _keys(values)]
    for inner, key in places:  # grows while it is walked
        places += [(inner[key], deeper) for deeper in _keys(inner[key])]
    if not places:
        return
    inner, key = draw.choice(places)
    if draw.random() < 0.2:
        del inner[key]
    else:
        inner[key] = draw.choice([*ODD, [inner[key]] * 2])


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []


def _split(content: bytes) -> tuple[bytes, bytes]:
    end = LENGTH.size + LENGTH.unpack_from(content)[0]
    return content[LENGTH.size : end], content[end:]


def _join(first: bytes, rest: bytes) -> bytes:
    return LENGTH.pack(len(first)) + first + rest


def fuzz_bundle(content: bytes, folder: Path) -> None:
    if len(content) < LENGTH.size:
        return
    text, weights = _split(content)
    (folder / CARD_FILE).write_bytes(_with_hash(text, hashlib.sha256(weights).hexdigest()))
    (folder / WEIGHTS_FILE).write_bytes(weights)
    bundle = load_bundle(folder, device="cpu")
    PreprocConfig.from_dict(bundle.card.preproc)
    choose_threshold(bundle.calibration, bundle.card.detection)


def _with_hash(text: bytes, sha256: str) -> bytes:
    """Let a card vouch for any weights, so that what lies behind the hash is reached."""
    try:
        card: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(card, dict) or "sha256" not in card:
        return text
    return json.dumps(card | {"sha256": sha256}).encode()


TARGETS = {
    "header": (fuzz_header, headers, {}),
    "bundle": (fuzz_bundle, bundles, {"custom_mutator": mutate_bundle}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    target, seeds, how = TARGETS[options.target]
    options.folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds():
        (options.folder / f"seed-{hashlib.sha256(seed).hexdigest()[:8]}").write_bytes(seed)
    # What libraries say of odd bytes is meant for people.
    logging.disable()
    warnings.simplefilter("ignore")
    scratch = Path(tempfile.mkdtemp(prefix="uadbids-fuzz-"))

    def one_input(content: bytes) -> None:
        with suppress(UadbidsError):
            target(content, scratch)

    limits = [f"-max_total_time={options.seconds}", "-rss_limit_mb=2048", "-timeout=30"]
    keep = [f"-artifact_prefix={options.folder}{os.sep}", "-print_final_stats=1"]
    arguments = [sys.argv[0], str(options.folder), "-max_len=20000", *limits, *keep]
    atheris.Setup(arguments, one_input, **how)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
