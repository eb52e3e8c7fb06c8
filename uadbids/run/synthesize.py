"""Label maps -> a raw BIDS dataset of synthetic healthy FLAIR scans, with their brain masks."""

import gzip
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from uadbids import __version__
from uadbids.bids.files import file_sha256, json_bytes, read_json, replace_together
from uadbids.errors import UsageError
from uadbids.model.inference import resolve_device
from uadbids.run.progress import tracked
from uadbids.run.runlog import LOGGER, NO_REQUEST, Request, run_log, terminal
from uadbids.run.setup import is_inside
from uadbids.synthesis.dataset import MASKS, TITLE, write_descriptions, write_participants
from uadbids.synthesis.generate import SynthesisConfig, Synthetic, synthesize
from uadbids.synthesis.label_maps import find_label_maps, read_labels

WHITE = 500
"""Grey value of white matter in the files."""
_PREFIX = "sub-synth"
_SEEDS = 1_000_003
# Raised when what is drawn from the same settings and seed changes between two versions.
_FORMAT = 1


@dataclass(frozen=True)
class SynthesizeOptions:
    """What `synthesize` was asked for."""

    labels: Path  # folder with label maps (NIfTI, 1 mm, FreeSurfer's labels), or one such file
    output_dir: Path  # where the BIDS dataset goes
    count: int | None = None  # scans; None for one from each label map
    random_seed: int = 0  # the same gives the same files
    device: str = "auto"  # or "cpu", "cuda[:N]"
    nprocs: int = 1  # scans at the same time
    config: SynthesisConfig = field(default_factory=SynthesisConfig)
    request: Request = NO_REQUEST


def synthesize_dataset(options: SynthesizeOptions) -> int:
    """Write synthetic scans; those that are there already, from the same settings, are kept.

    Returns the number of scans that were made in this run. UsageError when there are no label
    maps, one is none, the output cannot go where it shall or holds scans beyond ``count`` that were
    made otherwise, or memory runs out; DeviceError for a GPU that is not there.
    """
    maps = find_label_maps(options.labels)
    _check_output(options)
    count = len(maps) if options.count is None else options.count
    device = resolve_device(options.device)
    jobs = _plan(options, device, maps, max(count, _highest(options.output_dir)))
    _refuse_unexpected(options.output_dir, jobs[count:])
    with run_log(options.output_dir, options.request):
        write_descriptions(options.output_dir)
        missing = [job for job in jobs[:count] if not job.is_finished()]
        made = _make_all(missing, options.nprocs)
        list(tracked(made, "FLAIR scans", len(missing), terminal()))
        write_participants(options.output_dir)
        LOGGER.info("%d scans made, %d there from before", len(missing), count - len(missing))
    return len(missing)


@dataclass(frozen=True)
class _Job:
    """One scan to make; it travels to another process."""

    options: SynthesizeOptions
    device: torch.device
    name: str
    source: Path
    facts: dict[str, Any]  # all that fixes the bytes of the scan

    @property
    def image(self) -> Path:
        return self.options.output_dir / self.name / "anat" / f"{self.name}_FLAIR.nii.gz"

    @property
    def mask(self) -> Path:
        name = f"{self.name}_space-orig_label-brain_mask.nii.gz"
        return self.options.output_dir / MASKS / self.name / "anat" / name

    def is_finished(self) -> bool:
        return self.is_as_written() is True and self.image.is_file() and self.mask.is_file()

    def is_as_written(self) -> bool | None:
        """Whether a scan that is there was made in the same way; None without any."""
        about = read_json(_json_of(self.image))
        return None if about is None else self.facts.items() <= about.items()


def _json_of(path: Path) -> Path:
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def _plan(
    options: SynthesizeOptions, device: torch.device, maps: Sequence[Path], count: int
) -> list[_Job]:
    hashes = {path: file_sha256(path) for path in maps[:count]}
    jobs = []
    for place in range(count):
        source = maps[place % len(maps)]
        facts = {
            "LabelMap": source.name,
            "LabelMapSHA256": hashes[source],
            "RandomSeed": (options.random_seed * _SEEDS + place) % 2**63,
            # A GPU draws other numbers than a CPU from the same seed.
            "Device": device.type,
            # As the sidecar will give it back: with lists for tuples.
            "Settings": json.loads(json.dumps(asdict(options.config))),
            "UadbidsVersion": __version__,
            "SynthesisFormat": _FORMAT,
        }
        jobs.append(_Job(options, device, f"{_PREFIX}{place + 1:04d}", source, facts))
    return jobs


def _highest(output_dir: Path) -> int:
    """Return the number of the last scan that is there, 0 without any."""
    numbers = (path.name.removeprefix(_PREFIX) for path in output_dir.glob(f"{_PREFIX}*"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _refuse_unexpected(output_dir: Path, beyond: Sequence[_Job]) -> None:
    """Refuse to list scans of other settings beside those that were asked for."""
    unexpected = [job.name for job in beyond if job.is_as_written() is False]
    if unexpected:
        raise UsageError(
            f"{output_dir} holds scans beyond --count that were made with another seed, device, "
            f"label map or version ({len(unexpected)}, from {unexpected[0]} on); remove them, or "
            "give a higher --count or another folder"
        )


def _make_all(jobs: Sequence[_Job], nprocs: int) -> Iterator[str]:
    """Make scans, several at a time; give their names as they come, in order."""
    if nprocs == 1:
        yield from map(_make, jobs)
        return
    # A process that was forked cannot use CUDA.
    with ProcessPoolExecutor(nprocs, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(_make, jobs)
        except BrokenProcessPool as error:
            raise UsageError(
                "a process that made a scan was ended from outside, most likely for want of "
                f"memory; give fewer than --nprocs {nprocs}, the same command goes on"
            ) from error
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
    except (MemoryError, torch.OutOfMemoryError) as error:
        elsewhere = ", or --device cpu" if job.device.type != "cpu" else ""
        raise UsageError(
            f"{job.source}: there is not enough memory on the device '{job.device}' to make a "
            f"scan; give a smaller --nprocs{elsewhere}"
        ) from error
    _write_scan(job, scan)
    return job.name


def _check_output(options: SynthesizeOptions) -> None:
    output = options.output_dir
    folder = options.labels.parent if options.labels.is_file() else options.labels
    if is_inside(output, folder):
        raise UsageError(f"the output folder {output} lies inside that of the label maps")
    if output.exists() and not output.is_dir():
        raise UsageError(f"the output folder {output} is a file; give a folder")
    if output.is_dir() and any(output.iterdir()):
        description = read_json(output / "dataset_description.json") or {}
        if description.get("Name") != TITLE:
            raise UsageError(
                f"the output folder {output} holds other things than synthetic scans; give an "
                "empty folder or that of an earlier run"
            )


def _write_scan(job: _Job, scan: Synthetic) -> None:
    values = (WHITE * scan.volume).round().clamp(0, 32767).short()
    in_plane, _, thickness = scan.spacing
    about = {
        "Description": "Synthetic healthy FLAIR: no scan of a person",
        "MRAcquisitionType": "3D" if in_plane == thickness else "2D",
        "InPlaneVoxelSize": round(in_plane, 4),
        "SliceThickness": round(thickness, 4),
        "SkullStripped": False,
        "Ageing": round(scan.ageing, 4),
        **job.facts,
    }
    about_mask = {
        "Description": "True brain of the synthetic scan, with its sulci and ventricles",
        "Type": "Brain",
        "Sources": [f"bids:raw:{job.image.relative_to(job.options.output_dir).as_posix()}"],
    }
    targets = {
        job.image: _nifti(values, scan.spacing),
        job.mask: _nifti(scan.brain.to(torch.uint8), scan.spacing),
        _json_of(job.mask): json_bytes(about_mask),
        _json_of(job.image): json_bytes(about),
    }
    replace_together(targets, last=_json_of(job.image))


def _nifti(values: torch.Tensor, spacing: tuple[float, ...]) -> bytes:
    """Return a compressed image whose middle lies at 0; without a time stamp, so bytes repeat."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-d * (n - 1) / 2 for d, n in zip(spacing, values.shape, strict=True)]
    image = nib.Nifti1Image(values.cpu().numpy(), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)
