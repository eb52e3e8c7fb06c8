"""One file in, or a few: a BIDS dataset for the time of the run, and a flat folder out of it."""

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from uadbids.bids.derivatives import HASHES, finished_scans
from uadbids.bids.dicom import NIFTI_ENDINGS, find_flair, write_flair
from uadbids.bids.files import (
    file_sha256,
    json_bytes,
    replace_together,
    temporary_name,
    write_bytes,
)
from uadbids.bids.names import derivative_path
from uadbids.bids.scan import FinishedScan
from uadbids.errors import ScanError, UsageError
from uadbids.model.bundle import Card
from uadbids.preproc.conform import check_image
from uadbids.run import participant
from uadbids.run.longitudinal import write_flat
from uadbids.run.options import RunOptions
from uadbids.run.pages import write_single_page
from uadbids.run.runlog import NO_REQUEST, Request, say, terminal, writing_to
from uadbids.run.setup import check_writable, prepare_run

_KEPT = "bids"
# Names of other images in BIDS.
_SUFFIX = re.compile(r"_(T1w|T2w|PDw|T2starw|bold|dwi|swi|asl|angio)$")
# Of the sidecar, what holds in the dataset alone.
_LEFT_OUT = ("Sources", "SpatialReference", HASHES)


@dataclass(frozen=True)
class ScanOptions:
    """Which files, and what is done with them."""

    inputs: tuple[Path, ...]  # NIfTI files, DICOM folders, archives, multi-frame files
    output_dir: Path
    series: int | None = None  # of DICOM, instead of the one found
    longitudinal: bool = False  # the inputs are sessions of one person, the earliest first
    model: str = "dense3d"
    settings: Mapping[str, Any] = field(default_factory=dict)  # threshold and the like, where given
    keep_artefacts: bool = True  # in the mask; the table always holds them
    keep_bids: bool = False
    request: Request = NO_REQUEST


@dataclass(frozen=True)
class _Input:
    """One scan on its way: its name in the outputs, and its label in the dataset."""

    name: str
    label: str
    source: Path
    is_nifti: bool
    session: str | None = None

    def image(self, dataset: Path) -> Path:
        """Where it lies in the dataset."""
        ending = ".nii" if self.source.name.endswith(".nii") else ".nii.gz"
        folder, name = dataset / f"sub-{self.label}", f"sub-{self.label}"
        if self.session is not None:
            folder, name = folder / f"ses-{self.session}", f"{name}_ses-{self.session}"
        return folder / "anat" / f"{name}_FLAIR{ending}"


def scan(
    options: ScanOptions, asked: RunOptions, *, verbose: bool = False
) -> tuple[int, list[Path]]:
    """Examine files; return the exit status, 0 or 1 when a scan failed, and the pages written.

    UsageError or ScanError, before anything is computed, where an input cannot be used; of a scan
    that fails nothing is written.
    """
    inputs = _named(options)
    with _temporary() as name:
        dataset = Path(name) / _KEPT
        derivatives = dataset / "derivatives" / "uadbids"
        whole = participant.ParticipantOptions(
            bids_dir=dataset,
            output_dir=derivatives,
            model=options.model,
            settings=options.settings,
            keep_artefacts=options.keep_artefacts,
            longitudinal=options.longitudinal,
            sums_up=False,
            request=options.request,
        )
        bundle, card = participant.check(whole)
        run = prepare_run(replace(asked, work_dir=Path(name) / "work"), dataset, verbose=verbose)
        try:
            _import(inputs, options.series, dataset, Path(name))
        except OSError as error:
            raise UsageError(
                f"{error.filename or name} cannot be read or written ({error.strerror}); TMPDIR "
                "names another temporary folder"
            ) from error
        status = participant.participant(whole, whole.find(), bundle, card, run)
        done = [
            (one, found)
            for one in inputs
            for found in finished_scans(derivatives, one.label)
            if found.session == one.session
        ]
        with writing_to(options.output_dir):
            pages = [
                _write(one, found, derivatives, card, options.output_dir, Path(name))
                for one, found in done
            ]
            if options.longitudinal:
                names = {f"{one.session}": one.name for one in inputs}
                pages += write_flat(derivatives, inputs[0].label, names, options.output_dir)
            if options.keep_bids:
                _keep(dataset, options.output_dir / _KEPT)
    for one, found in done:
        if flags := found.metadata.get("Flags"):
            say(terminal(), f"{one.name}: flagged, read its page first: {', '.join(flags)}")
    return status, pages


def _temporary() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="uadbids_")
    except OSError as error:
        raise UsageError(
            f"no temporary folder can be made ({error.strerror}); name one by TMPDIR"
        ) from error


def _named(options: ScanOptions) -> list[_Input]:
    """Check what can be checked of paths, and name the inputs after their files."""
    out = options.output_dir
    if out.name.endswith(NIFTI_ENDINGS):
        raise UsageError(f"{out}: the last word is the output folder; name one")
    if out.exists() and not out.is_dir():
        raise UsageError(f"the output folder {out} is a file; give a folder")
    with writing_to(out):
        check_writable(out)
    if options.keep_bids and (out / _KEPT).exists():
        raise UsageError(f"--keep-bids: {out / _KEPT} is there; remove it or choose another folder")
    if options.longitudinal and len(options.inputs) < 2:
        raise UsageError("--longitudinal compares two inputs or more; give the earlier one first")
    inputs: list[_Input] = []
    for source in options.inputs:
        if not source.exists():
            raise UsageError(f"{source}: there is no such file or folder")
        if (source / "dataset_description.json").exists():
            raise UsageError(f"{source} is a BIDS dataset: uadbids {source} {out} participant")
        ending = r"\.(nii|nii\.gz|zip|tar|tar\.\w+|tgz|dcm|ima)$"
        name = re.sub(ending, "", source.resolve().name, flags=re.IGNORECASE) or "scan"
        label = re.sub(r"^sub-|[^0-9a-zA-Z]", "", name) or "scan"
        labels = [one.label for one in inputs]
        together = options.longitudinal and bool(inputs)
        inputs.append(
            _Input(
                _unlike(name, "-", [one.name for one in inputs]),
                labels[0] if together else _unlike(label, "x", labels),
                source,
                source.is_file() and source.name.endswith(NIFTI_ENDINGS),
                f"{len(inputs) + 1:02d}" if options.longitudinal else None,
            )
        )
    if options.longitudinal:
        _check_different([one.source for one in inputs if one.source.is_file()])
    return inputs


def _check_different(sources: Sequence[Path]) -> None:
    """Refuse two sessions that are one file."""
    seen: dict[str, Path] = {}
    for source in sources:
        first = seen.setdefault(file_sha256(source), source)
        if first is not source:
            raise UsageError(
                f"{first} and {source} are the same file, byte for byte; --longitudinal compares "
                "scans of different days"
            )


def _unlike(name: str, between: str, others: Sequence[str]) -> str:
    """Give a number to a name that is taken; file systems may not tell upper from lower case."""
    taken = {other.casefold() for other in others}
    numbers = (f"{name}{between}{number}" for number in range(2, len(others) + 3))
    return next(one for one in (name, *numbers) if one.casefold() not in taken)


def _import(inputs: Sequence[_Input], series: int | None, dataset: Path, folder: Path) -> None:
    """Make a dataset of the inputs, and judge their images by their headers."""
    about = {"Name": "Scans", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    write_bytes(dataset / "dataset_description.json", json_bytes(about))
    people: set[str] = set()
    for one in inputs:
        image = one.image(dataset)
        image.parent.mkdir(parents=True)
        stem = image.with_name(image.name.removesuffix(".gz").removesuffix(".nii"))
        if one.is_nifti:
            check_image(one.source)
            suffix = _SUFFIX.search(one.name)
            if suffix:
                say(terminal(), f"{one.source}: by its name a {suffix[1]}, and taken for a FLAIR")
            shutil.copyfile(one.source, image)
            sidecar = one.source.with_name(one.source.name.removesuffix(".gz")).with_suffix(".json")
            if sidecar.is_file():
                shutil.copyfile(sidecar, stem.with_suffix(".json"))
            continue
        with tempfile.TemporaryDirectory(dir=folder) as converted:
            found = find_flair(one.source, Path(converted), series)
            try:
                check_image(found.image)
            except ScanError as error:
                place = f"{one.source}, series {found.title}"
                raise ScanError(str(error).replace(str(found.image), place)) from error
            people.update(filter(None, [found.patient]))
            if one.session is not None and len(people) > 1:
                raise UsageError(
                    f"{inputs[0].source} and {one.source} are of different patients by their "
                    "DICOM headers; --longitudinal compares scans of one"
                )
            say(terminal(), f"{one.name}: DICOM series {found.title}")
            write_flair(found, stem)


def _write(
    one: _Input, found: FinishedScan, derivatives: Path, card: Card, out: Path, folder: Path
) -> Path:
    """Write the outputs of one scan, all or none; return its page."""
    table = pd.read_csv(
        derivatives / derivative_path(found, "native_components", ".tsv"),
        sep="\t", dtype=str, keep_default_na=False,
    )  # fmt: skip
    kept = {key: value for key, value in found.metadata.items() if key not in _LEFT_OUT}
    contents: dict[str, Path | bytes] = {
        "report.html": write_single_page(folder / "page.html", derivatives, found, card, one.name),
        "anomaly-mask.nii.gz": derivatives / derivative_path(found, "native_lesions"),
        "anomaly-map.nii.gz": derivatives / derivative_path(found, "native_anomaly"),
        "findings.csv": table.to_csv(index=False).encode(),
        "anomaly-mask.json": json_bytes({"Source": one.source.name, **kept}),
    }
    if not one.is_nifti:
        # What the mask lies on; DICOM has another order.
        contents["FLAIR.nii.gz"] = one.image(derivatives.parents[1])
    targets = {out / f"{one.name}_{ending}": content for ending, content in contents.items()}
    replace_together(targets, last=out / f"{one.name}_anomaly-mask.json")
    return out / f"{one.name}_report.html"


def _keep(dataset: Path, target: Path) -> None:
    """Copy the dataset beside the outputs, whole or not at all."""
    temporary = temporary_name(target)
    try:
        shutil.copytree(dataset, temporary)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
