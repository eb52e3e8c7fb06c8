"""What was found in one image: maps, findings, measures."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd

from uadbids.bids.files import json_bytes, tsv_bytes, write_bytes
from uadbids.bids.sidecar import COMPONENT_COLUMNS


@dataclass(frozen=True)
class Images:
    """Results on one grid, as images of nibabel.

    Attributes
    ----------
    anomaly_map : Nifti1Image
        Larger where more abnormal, in the unit of the model's residual.
    mask : Nifti1Image
        1 in findings, else 0.
    components : Nifti1Image
        Number of the finding, as in the index of `Result.findings`.
    brain_mask : Nifti1Image
        1 in the brain.
    score : Nifti1Image or None
        Share of healthy voxels with a smaller residual, from 0 to 1; None where not calibrated.
    preprocessed, reconstruction : Nifti1Image or None
        What the model saw, and what it made of it; on the template grid alone.
    """

    anomaly_map: nib.Nifti1Image
    mask: nib.Nifti1Image
    components: nib.Nifti1Image
    brain_mask: nib.Nifti1Image
    score: nib.Nifti1Image | None = None
    preprocessed: nib.Nifti1Image | None = None
    reconstruction: nib.Nifti1Image | None = None


class Picture(NamedTuple):
    """A figure; notebooks show it.

    Attributes
    ----------
    svg : str
        Its text.
    """

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to an SVG file."""
        write_bytes(Path(path), self.svg.encode())
        return Path(path)


@dataclass(frozen=True)
class Result:
    """What was found in one image.

    Attributes
    ----------
    native, template : Images
        On the grid of the image, and on the template grid.
    findings : DataFrame
        One row a finding, the largest first: volume, scores, centre of mass, place in words.
    qc : dict
        What was measured of the scan; ``Flags`` and ``Warnings`` are what a person should look at.
    """

    native: Images
    template: Images
    findings: pd.DataFrame
    qc: dict[str, Any]
    _files: Mapping[str, Path]
    _folder: Path

    def __repr__(self) -> str:
        flags = ", ".join(self.qc.get("Flags", ())) or "none"
        volume = self.qc.get("FindingVolumeMl", 0.0)
        return f"<Result: {len(self.findings)} findings, {volume:.2f} mL, flags: {flags}>"

    @property
    def anomaly_map(self) -> nib.Nifti1Image:
        """Anomaly map on the grid of the image."""
        return self.native.anomaly_map

    @property
    def mask(self) -> nib.Nifti1Image:
        """Mask of the findings on the grid of the image."""
        return self.native.mask

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write images, ``findings.tsv`` and ``qc.json`` to a folder, which is made.

        Parameters
        ----------
        folder : path
            Images get the names ``native_anomaly.nii.gz``, ``template_recon.nii.gz`` and so on.

        Returns
        -------
        Path
            The folder.
        """
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        for key, path in self._files.items():
            if key != "source":
                shutil.copyfile(path, out / f"{key}{'.txt' if key == 'xfm' else '.nii.gz'}")
        rows = self.findings.reset_index().to_dict("records")
        write_bytes(out / "findings.tsv", tsv_bytes(list(COMPONENT_COLUMNS), rows))
        write_bytes(out / "qc.json", json_bytes(self.qc))
        return out

    def plot(self) -> Picture:
        """Draw the scan, and over it the outlines of the findings, numbered as in the table."""
        from uadbids.reports.mosaic import draw_detection
        from uadbids.reports.scene import Scene

        scene = Scene.read(
            self._files["source"],
            self._files["native_components"],
            brain_mask=self._files["native_brain"],
            rows=self.findings.reset_index().to_dict("records"),
        )
        svg = draw_detection(
            scene,
            self._files["native_anomaly"],
            self._folder / "detection.svg",
            threshold=self.qc["Threshold"],
        )
        return Picture(svg.read_text(encoding="utf-8"))


def read_images(files: Mapping[str, Path], space: str) -> Images:
    """Read the images of one space into memory."""
    kinds = ("anomaly", "lesions", "components", "brain", "score", "preproc", "recon")
    return Images(*(_in_memory(files.get(f"{space}_{kind}")) for kind in kinds))


def _in_memory(path: Path | None) -> nib.Nifti1Image | None:
    """Read an image whole: its file goes with the result."""
    if path is None:
        return None
    image = nib.load(path)
    return nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
