"""Label maps -> a raw BIDS dataset of synthetic healthy FLAIR scans, with their brain masks."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from uadbids import __version__
from uadbids.bids.dataset import BIDS_VERSION, NAME
from uadbids.bids.files import json_bytes, read_json, replace_together, tsv_bytes, write_bytes
from uadbids.commands.label_maps import find_label_maps, read_labels
from uadbids.commands.progress import Progress
from uadbids.commands.setup import is_inside
from uadbids.core.inference import resolve_device
from uadbids.core.synthesis import SynthesisConfig, Synthetic, synthesize
from uadbids.errors import UsageError

WHITE = 500
"""Grey value of white matter in the files."""
_MASKS = Path("derivatives", "brain")
_SEEDS = 1_000_003
_README = """# Synthetic healthy FLAIR

Made by {name} {version} from label maps of whole heads: no image here is a scan of a person.
`participants.tsv` tells which label map, seed and slice thickness each came from;
`derivatives/brain` holds the true brain masks. No lesion was drawn.
"""
# Column of participants.tsv -> field of the sidecar, and its meaning.
_COLUMNS: Mapping[str, tuple[str, dict[str, str]]] = {
    "label_map": ("LabelMap", {"Description": "Label map that the head was painted over"}),
    "ageing": ("Ageing", {"Description": "Drawn wear of the brain: 0 is young, 1 is old"}),
    "acquisition": ("MRAcquisitionType", {"Description": "Slices (2D) or cubic voxels (3D)"}),
    "in_plane_mm": ("InPlaneVoxelSize", {"Description": "Voxel size in plane", "Units": "mm"}),
    "slice_thickness_mm": ("SliceThickness", {"Description": "Slice thickness", "Units": "mm"}),
    "seed": ("RandomSeed", {"Description": "Seed of all that was drawn for this scan"}),
}


@dataclass(frozen=True)
class SynthesizeOptions:
    """What `synthesize` was asked for.

    Attributes
    ----------
    labels : Path
        Folder with label maps (NIfTI, 1 mm, FreeSurfer's labels), or one such file.
    output_dir : Path
        Where the BIDS dataset goes.
    count : int or None
        Number of scans; None for one from each label map.
    random_seed : int
        The same seed gives the same files.
    device : str
        ``auto``, ``cpu`` or ``cuda[:N]``.
    nprocs : int
        Scans at the same time.
    config : SynthesisConfig
        What may vary, and how much.
    """

    labels: Path
    output_dir: Path
    count: int | None = None
    random_seed: int = 0
    device: str = "auto"
    nprocs: int = 1
    config: SynthesisConfig = field(default_factory=SynthesisConfig)


def synthesize_dataset(options: SynthesizeOptions) -> int:
    """Write synthetic scans; those that are there already, from the same settings, are kept.

    Parameters
    ----------
    options : SynthesizeOptions
        From what, how many, where.

    Returns
    -------
    int
        Number of scans that were made in this run.

    Raises
    ------
    UsageError
        When there are no label maps, one is none, or the output cannot go where it shall.
    DeviceError
        For a GPU that is not there.
    """
    maps = find_label_maps(options.labels)
    _check_output(options)
    count = len(maps) if options.count is None else options.count
    device = resolve_device(options.device)
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in maps[:count]}
    jobs = []
    for place in range(count):
        source = maps[place % len(maps)]
        facts = _facts(options, device, place, source, hashes[source])
        jobs.append(_Job(options, device, f"sub-synth{place + 1:04d}", source, facts))
    _write_descriptions(options.output_dir)
    missing = [job for job in jobs if not _is_finished(options.output_dir, job.name, job.facts)]
    with Progress({job.name: job.name for job in missing}) as progress:
        for name in _make_all(missing, options.nprocs):
            progress.step(name, "write", "end")
    _write_participants(options.output_dir)
    return len(missing)


@dataclass(frozen=True)
class _Job:
    """One scan to make; it travels to another process."""

    options: SynthesizeOptions
    device: torch.device
    name: str
    source: Path
    facts: dict[str, Any]


def _make_all(jobs: Sequence[_Job], nprocs: int) -> Iterator[str]:
    """Make scans, several at a time; give their names as they come, in order."""
    if nprocs == 1:
        yield from map(_make, jobs)
        return
    # A process that was forked cannot use CUDA.
    with ProcessPoolExecutor(nprocs, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(_make, jobs)
        finally:
            pool.shutdown(cancel_futures=True)


def _make(job: _Job) -> str:
    # With another number of threads the last bits differ.
    torch.set_num_threads(1)
    labels = read_labels(job.source).to(job.device)
    generator = torch.Generator(job.device).manual_seed(job.facts["RandomSeed"])
    try:
        scan = synthesize(labels, job.options.config, generator)
    except ValueError as error:
        raise UsageError(f"{job.source}: {error}; give label maps of heads") from error
    _write_scan(job.options.output_dir, job.name, scan, job.facts)
    return job.name


def _check_output(options: SynthesizeOptions) -> None:
    output = options.output_dir
    folder = options.labels.parent if options.labels.is_file() else options.labels
    if is_inside(output, folder):
        raise UsageError(f"the output folder {output} lies inside that of the label maps")
    if output.exists() and not output.is_dir():
        raise UsageError(f"the output folder {output} is a file; give a folder")
    if output.is_dir() and any(output.iterdir()):
        description = read_json(output / "dataset_description.json")
        if not isinstance(description, dict) or description.get("Name") != _title():
            raise UsageError(
                f"the output folder {output} holds other things than synthetic scans; give an "
                "empty folder or that of an earlier run"
            )


def _facts(
    options: SynthesizeOptions, device: torch.device, place: int, source: Path, sha256: str
) -> dict[str, Any]:
    """Everything that fixes the bytes of a scan."""
    return {
        "LabelMap": source.name,
        "LabelMapSHA256": sha256,
        "RandomSeed": (options.random_seed * _SEEDS + place) % 2**63,
        # A GPU draws other numbers than a CPU from the same seed.
        "Device": device.type,
        # As the sidecar will give it back: with lists for tuples.
        "Settings": json.loads(json.dumps(asdict(options.config))),
        "UadbidsVersion": __version__,
    }


def _places(output_dir: Path, name: str) -> tuple[Path, Path]:
    """Return the image of a scan and its mask."""
    return (
        output_dir / name / "anat" / f"{name}_FLAIR.nii.gz",
        output_dir / _MASKS / name / "anat" / f"{name}_space-orig_label-brain_mask.nii.gz",
    )


def _json_of(path: Path) -> Path:
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def _is_finished(output_dir: Path, name: str, facts: Mapping[str, Any]) -> bool:
    image, mask = _places(output_dir, name)
    written = read_json(_json_of(image))
    return (
        isinstance(written, dict)
        and facts.items() <= written.items()
        and image.is_file()
        and mask.is_file()
    )


def _write_scan(output_dir: Path, name: str, scan: Synthetic, facts: Mapping[str, Any]) -> None:
    image, mask = _places(output_dir, name)
    values = (WHITE * scan.volume).round().clamp(0, 32767).short()
    in_plane, _, thickness = scan.spacing
    about = {
        "Description": "Synthetic healthy FLAIR: no scan of a person",
        "MRAcquisitionType": "3D" if in_plane == thickness else "2D",
        "InPlaneVoxelSize": round(in_plane, 4),
        "SliceThickness": round(thickness, 4),
        "SkullStripped": False,
        "Ageing": round(scan.ageing, 4),
        **facts,
    }
    about_mask = {
        "Description": "True brain of the synthetic scan, with its sulci and ventricles",
        "Type": "Brain",
        "Sources": [f"bids:raw:{image.relative_to(output_dir).as_posix()}"],
    }
    targets = {
        image: _nifti(values, scan.spacing),
        mask: _nifti(scan.brain.to(torch.uint8), scan.spacing),
        _json_of(mask): json_bytes(about_mask),
        _json_of(image): json_bytes(about),
    }
    replace_together(targets, last=_json_of(image))


def _nifti(values: torch.Tensor, spacing: tuple[float, ...]) -> bytes:
    """Return a compressed image whose middle lies at 0; without a time stamp, so bytes repeat."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-d * (n - 1) / 2 for d, n in zip(spacing, values.shape, strict=True)]
    image = nib.Nifti1Image(values.cpu().numpy(), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _title() -> str:
    return f"{NAME}: synthetic healthy FLAIR"


def _write_descriptions(output_dir: Path) -> None:
    maker = {"Name": NAME, "Version": __version__}
    common = {
        "BIDSVersion": BIDS_VERSION,
        "GeneratedBy": [maker],
        "Authors": [f"{NAME} developers"],
    }
    raw = {"Name": _title(), "DatasetType": "raw", **common}
    masks = {
        "Name": f"{NAME}: brain masks of synthetic FLAIR",
        "DatasetType": "derivative",
        **common,
        "SourceDatasets": [{"URL": "../.."}],
        "DatasetLinks": {"raw": "../.."},
    }
    readme = _README.format(name=NAME, version=__version__)
    write_bytes(output_dir / "dataset_description.json", json_bytes(raw))
    write_bytes(output_dir / "README.md", readme.encode())
    write_bytes(output_dir / _MASKS / "dataset_description.json", json_bytes(masks))
    write_bytes(output_dir / _MASKS / "README.md", readme.encode())


def _write_participants(output_dir: Path) -> None:
    """List every scan that is there, those of earlier runs too."""
    rows = []
    for path in sorted(output_dir.glob("sub-*/anat/sub-*_FLAIR.json")):
        about = read_json(path) or {}
        row = {column: about.get(key) for column, (key, _) in _COLUMNS.items()}
        rows.append({"participant_id": path.parts[-3], **row})
    meanings = {
        "participant_id": {"Description": "Synthetic participant"},
        **{column: meaning for column, (_, meaning) in _COLUMNS.items()},
    }
    table = output_dir / "participants.tsv"
    write_bytes(table, tsv_bytes(list(meanings), rows))
    write_bytes(table.with_suffix(".json"), json_bytes(meanings))
