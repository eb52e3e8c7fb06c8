"""DICOM files to the FLAIR among them: dcm2niix converts, and reads the headers.

Nothing that could name a person leaves this file: of a header the fields of the acquisition are
kept.
"""

import gzip
import re
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import dcm2niix
import nibabel as nib

from uadbids.bids.files import json_bytes
from uadbids.bids.foreign import load_json
from uadbids.errors import UsageError

NIFTI_ENDINGS = (".nii", ".nii.gz")
# Inversion and echo time (s) of a T2-weighted image without fluid: at 0.5 to 7 T, in 2D and 3D. A
# FLAIR that is T1-weighted has a shorter echo, STIR a shorter inversion, MPRAGE both.
_INVERSION_S = (1.3, 3.5)
_SHORTEST_ECHO_S = 0.06
# Where the times are not in the header, its words have to do; double inversion is no FLAIR.
_FLAIR = re.compile(r"flair|dark.?fl", re.IGNORECASE)
_T1 = re.compile("t1", re.IGNORECASE)
_DOUBLE = re.compile(r"(?<![a-z])dir(?![a-z])|double.?inv", re.IGNORECASE)
_SMALLEST_MATRIX = 8  # below, an image is a localiser
_KEPT = (
    "Modality", "MagneticFieldStrength", "Manufacturer", "ManufacturersModelName",
    "MRAcquisitionType", "ScanningSequence", "SequenceVariant", "PulseSequenceType", "ImageType",
    "SliceThickness", "SpacingBetweenSlices", "EchoTime", "RepetitionTime", "InversionTime",
    "FlipAngle", "EchoTrainLength", "ConversionSoftware", "ConversionSoftwareVersion",
)  # fmt: skip
_DAMAGE = (OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Series:
    """One image that dcm2niix has made."""

    image: Path  # .nii, with a JSON file beside it
    header: Mapping[str, Any]  # what dcm2niix found in the DICOM files, times in seconds

    @property
    def number(self) -> int:
        """Number of the series in its examination; 0 where there is none."""
        return int(self.header.get("SeriesNumber") or 0)

    @property
    def patient(self) -> str:
        """Identifier or name of the patient, to tell people apart; it is written nowhere."""
        return str(self.header.get("PatientID") or self.header.get("PatientName") or "")

    @property
    def title(self) -> str:
        """Number and words, as on the console of the scanner."""
        return f"{self.number} ({self.header.get('SeriesDescription') or 'without description'})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of each axis."""
        return tuple(nib.load(self.image).shape)

    @property
    def is_flair(self) -> bool:
        """Whether the header says so: MR, inversion time and echo time; else its words."""
        words = str(self.header.get("SeriesDescription", ""))
        inversion, echo = (self.header.get(key) for key in ("InversionTime", "EchoTime"))
        if self.header.get("Modality", "MR") != "MR" or min(self.shape[:3]) < _SMALLEST_MATRIX:
            return False
        if _DOUBLE.search(words):
            return False
        if not (inversion and echo):
            return bool(_FLAIR.search(words)) and not _T1.search(words)
        low, high = _INVERSION_S
        return bool(low <= inversion <= high and echo >= _SHORTEST_ECHO_S)


def find_flair(source: Path, folder: Path, number: int | None = None) -> Series:
    """Convert DICOM files and find the FLAIR among their series.

    Parameters
    ----------
    source : Path
        Folder, looked through with its subfolders; archive (zip, tar); or one file that holds a
        whole image (enhanced, multi-frame).
    folder : Path
        Empty folder for what is unpacked and converted.
    number : int, optional
        Number of the series to take, whatever its header says.

    Raises
    ------
    UsageError
        When nothing can be read, several patients are there, or no series or more than one fits.
    """
    packed = source.is_file() and (zipfile.is_zipfile(source) or tarfile.is_tarfile(source))
    found = _convert(_unpack(source, folder / "unpacked") if packed else source, source, folder)
    people = set(filter(None, (one.patient for one in found)))
    if len(people) > 1:
        raise UsageError(
            f"{source}: it holds images of {len(people)} patients; give those of one at a time"
        )
    if number is not None:
        chosen = [one for one in found if one.number == number]
    else:
        fitting = [one for one in found if one.is_flair]
        # Reformatted copies lie beside what was acquired.
        acquired = [one for one in fitting if "ORIGINAL" in one.header.get("ImageType", ())]
        chosen = acquired or fitting
    if not chosen:
        missing = "no FLAIR" if number is None else f"no series {number}"
        raise UsageError(
            f"{source}: there is {missing} among its series, {_titles(found)}; "
            "if one is a FLAIR, name it by --series NUMBER"
        )
    if len({one.number for one in chosen}) > 1:
        raise UsageError(
            f"{source}: it holds several FLAIR series, {_titles(chosen)}; choose one by "
            "--series NUMBER"
        )
    if len(chosen) > 1:
        raise UsageError(
            f"{source}: series {chosen[0].title} came out as {len(chosen)} images; give the files "
            "of one examination in a folder of their own"
        )
    return chosen[0]


def write_flair(series: Series, stem: Path) -> tuple[Path, Path]:
    """Write a series as ``stem.nii.gz`` and ``stem.json``, without what could name a person.

    dcm2niix notes times and comments in the header of the image, too; the voxels stay as they are.
    """
    content = series.image.read_bytes()
    header = nib.Nifti1Header.from_fileobj(BytesIO(content))
    for key in ("descrip", "aux_file", "db_name", "intent_name"):
        header[key] = b""
    image, sidecar = stem.with_name(f"{stem.name}.nii.gz"), stem.with_name(f"{stem.name}.json")
    block = header.binaryblock
    image.write_bytes(gzip.compress(block + content[len(block) :], mtime=0))
    kept = {key: series.header[key] for key in _KEPT if key in series.header}
    sidecar.write_bytes(json_bytes(kept))
    return image, sidecar


def _titles(several: Sequence[Series]) -> str:
    return ", ".join(dict.fromkeys(one.title for one in several))


def _convert(files: Path, source: Path, folder: Path) -> list[Series]:
    """Convert all that is there; in the order of the series."""
    out = folder / "converted"
    out.mkdir()
    # Headers with names, to tell patients apart; no compression; no settings of this computer.
    flags = ("-b", "y", "-ba", "n", "-z", "n", "-g", "i", "-d", "9", "-f", "%s", "-w", "2")
    alone = ("-s", "y") if files.is_file() else ()
    subprocess.run(
        [dcm2niix.bin, *flags, *alone, "-o", str(out), str(files)], capture_output=True, check=False
    )
    found = []
    for image in out.glob("*.nii"):
        header: Any = {}
        with suppress(OSError, ValueError):
            header, _ = load_json(image.with_suffix(".json"))
        found.append(Series(image, header))
    if not found:
        raise UsageError(f"{source}: {_nothing(files)}")
    return sorted(found, key=lambda one: (one.number, one.image.name))


def _nothing(files: Path) -> str:
    """Say why nothing could be converted."""
    if files.is_file():
        return "it is no NIfTI, DICOM or archive (zip, tar) that can be read"
    there = [path for path in files.rglob("*") if path.is_file()]
    if not there:
        return "the folder is empty"
    if any(path.name.endswith(NIFTI_ENDINGS) for path in there):
        return "the folder holds no DICOM image; give its NIfTI files one by one"
    return (
        f"none of its {len(there)} files is a DICOM image that can be read; unpack or decrypt them "
        "first"
    )


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack the files of an archive, numbered: names in it may lead anywhere."""
    folder.mkdir()
    try:
        for number, stream in enumerate(_members(archive)):
            with (folder / f"{number:06d}").open("wb") as target:
                shutil.copyfileobj(stream, target)
    except _DAMAGE as error:
        raise UsageError(f"{archive}: it cannot be unpacked ({error})") from error
    return folder


def _members(path: Path) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            if any(info.flag_bits & 1 for info in files):
                raise UsageError(f"{path}: the archive is encrypted; unpack it and give the folder")
            for info in files:
                with archive.open(info) as stream:
                    yield stream
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield content
