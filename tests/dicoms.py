"""DICOM files made of a NIfTI image, as a scanner would send them; headers without a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

FLAIR = {
    "SeriesDescription": "ax t2", "ScanningSequence": ["SE", "IR"],
    "RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500,
}  # fmt: skip
T1 = {
    "SeriesDescription": "t1 mprage", "ScanningSequence": ["GR", "IR"],
    "RepetitionTime": 2000, "EchoTime": 3, "InversionTime": 900,
}  # fmt: skip


def write_series(
    folder: Path, image: nib.Nifti1Image, number: int = 1, *, patient: str = "1",
    **header: Any,
) -> Path:  # fmt: skip
    """Write an image of whole numbers as a series, one file a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels, frame = _voxels(image), _Frame(image)
    for place in range(voxels.shape[2]):
        one = _new(MRImageStorage, number, place, patient, header)
        one.ImagePositionPatient, one.ImageOrientationPatient = frame.position(place), frame.axes
        one.SliceThickness = one.SpacingBetweenSlices = _ds(frame.sizes[2])
        _fill(one, voxels[:, :, place].T, frame)
        one.save_as(folder / f"{number}-{place:03d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(
    path: Path, image: nib.Nifti1Image, number: int = 1, *, patient: str = "1", **header: Any
) -> Path:
    """Write an image of whole numbers as one multi-frame file (Enhanced MR)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels, frame = _voxels(image), _Frame(image)
    times = {key: header.pop(key) for key in ("RepetitionTime", "EchoTime", "InversionTime")}
    header.pop("ScanningSequence", None)
    one = _new(EnhancedMRImageStorage, number, 0, patient, header)
    one.NumberOfFrames = voxels.shape[2]
    measures = _item(
        PixelSpacing=[_ds(frame.sizes[1]), _ds(frame.sizes[0])], SliceThickness=_ds(frame.sizes[2]),
        SpacingBetweenSlices=_ds(frame.sizes[2]),
    )  # fmt: skip
    one.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[measures],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=frame.axes)],
            MRTimingAndRelatedParametersSequence=[_item(RepetitionTime=times["RepetitionTime"])],
            MREchoSequence=[_item(EffectiveEchoTime=float(times["EchoTime"]))],
            MRModifierSequence=[
                _item(InversionRecovery="YES", InversionTimes=[float(times["InversionTime"])])
            ],
        )
    ]
    one.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[
                _item(
                    StackID="1",
                    InStackPositionNumber=place + 1,
                    DimensionIndexValues=[1, place + 1],
                )
            ],
            PlanePositionSequence=[_item(ImagePositionPatient=frame.position(place))],
        )
        for place in range(voxels.shape[2])
    ]
    one.DimensionOrganizationType = "3D"
    _fill(one, voxels.transpose(2, 1, 0), frame)
    del one.PixelSpacing
    one.save_as(path, enforce_file_format=True)
    return path


class _Frame:
    """Geometry of an image in the patient's coordinates of DICOM: to the left and the back."""

    def __init__(self, image: nib.Nifti1Image) -> None:
        self.affine = np.diag([-1, -1, 1, 1]) @ image.affine
        self.sizes = nib.affines.voxel_sizes(image.affine)
        self.axes = [_ds(x) for axis in (0, 1) for x in self.affine[:3, axis] / self.sizes[axis]]

    def position(self, place: int) -> list[str]:
        return [_ds(x) for x in self.affine[:3, 2] * place + self.affine[:3, 3]]


def _voxels(image: nib.Nifti1Image) -> np.ndarray:
    return np.asanyarray(image.dataobj).astype(np.uint16)


def _ds(value: float) -> str:
    """As many digits as a decimal string of DICOM holds."""
    return next(text for n in range(17, 0, -1) if len(text := f"{value:.{n}g}") <= 16)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return item


def _new(kind: UID, number: int, place: int, patient: str, header: Mapping[str, Any]) -> Dataset:
    root = f"1.2.826.0.1.3680043.8.498.{patient}"
    one = _item(
        Modality="MR", Manufacturer="SIEMENS", MagneticFieldStrength=3, PatientID=patient,
        PatientName=f"Somebody^{patient}", PatientBirthDate="19700101", StudyDate="20200101",
        StudyTime="120000", AcquisitionTime="121314", SeriesNumber=number,
        InstanceNumber=place + 1, StudyInstanceUID=f"{root}.1",
        SeriesInstanceUID=f"{root}.1.{number}", FrameOfReferenceUID=f"{root}.2", SOPClassUID=kind,
        SOPInstanceUID=f"{root}.1.{number}.{place + 1}",
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND"], MRAcquisitionType="2D",
    )  # fmt: skip
    for key, value in header.items():
        setattr(one, key, value)
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = kind
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    return one


def _fill(one: Dataset, pixels: np.ndarray, frame: _Frame) -> None:
    one.Rows, one.Columns = pixels.shape[-2:]
    one.PixelSpacing = [_ds(frame.sizes[1]), _ds(frame.sizes[0])]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.PixelData = pixels.astype("<u2").tobytes()
