"""The stages of a run as plain calls from files to files, in one folder a scan."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib

from uadbids.model.bundle import find_bundle
from uadbids.pipeline.derive import alignment, output_files, to_native_space
from uadbids.pipeline.detect import detect
from uadbids.pipeline.records import Detected, DetectOptions, Native, Preprocessed
from uadbids.preproc.bias_field import correct_bias
from uadbids.preproc.brain_mask import extract_brain
from uadbids.preproc.config import PreprocConfig, choose_method
from uadbids.preproc.conform import conform
from uadbids.preproc.intensity import scale_intensity
from uadbids.preproc.registration import register
from uadbids.preproc.resample import to_template
from uadbids.preproc.template import Template
from uadbids.qc.facts import Facts
from uadbids.qc.measures import assess
from uadbids.reports.scan_figures import draw_figures

TEMPLATE, CONFIG = Template.packaged(), PreprocConfig()
BUNDLE = find_bundle("dense3d")
NAMES = ("conformed", "brain", "corrected", "resampled", "template_brain", "volume")


class Stages:
    """The stages of one scan, to be called in the order of `names`.

    Parameters
    ----------
    source : Path
        The scan.
    stripped : bool
        Whether it shows nothing but brain.
    folder : Path
        Where the results go.
    """

    names = ("conform", "brain_mask", "n4", "registration", "to_template", "quality", "detect",
             "native_space", "figures")  # fmt: skip

    def __init__(self, source: Path, stripped: bool, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.method = choose_method("auto", {"SkullStripped": stripped}, None, None)
        self.files = {name: folder / f"{name}.nii.gz" for name in NAMES}
        self.xfm, self.affine = folder / "xfm.txt", folder / "affine.txt"
        self.found = folder / "found"
        self.native_folder = folder / "native"
        for path in (folder, self.found, self.native_folder, folder / "figures"):
            path.mkdir(parents=True, exist_ok=True)

    def run(self, stage: str) -> Any:
        """Call one stage."""
        body: Callable[[], Any] = getattr(self, stage)
        return body()

    def voxels(self) -> int:
        """Return the number of voxels of the scan."""
        return math.prod(nib.load(self.source).shape[:3])

    def conform(self) -> None:
        """Read the scan."""
        conform(self.source, self.files["conformed"])

    def brain_mask(self) -> None:
        """Find the brain."""
        extract_brain(self.files["conformed"], self.files["brain"], method=self.method)

    def n4(self) -> None:
        """Take the bias field out."""
        files = self.files
        correct_bias(files["conformed"], files["brain"], files["corrected"], CONFIG)

    def registration(self) -> None:
        """Align."""
        files = self.files
        register(files["corrected"], files["brain"], self.xfm, self.affine, TEMPLATE, CONFIG)

    def to_template(self) -> None:
        """Resample and scale."""
        f = self.files
        to_template(
            f["corrected"], f["brain"], self.xfm, f["resampled"], f["template_brain"], TEMPLATE
        )
        scale_intensity(
            f["resampled"], f["template_brain"], f["volume"], TEMPLATE, CONFIG.intensity
        )

    def quality(self) -> None:
        """Measure whether it can be trusted."""
        assess(self.files["brain"], self.files["volume"], self.files["template_brain"], TEMPLATE)

    def preprocessed(self) -> Preprocessed:
        """Return the scan on the template grid."""
        f = self.files
        return Preprocessed(self.source, f["conformed"], f["brain"], self.xfm, self.affine,
                            f["volume"], f["template_brain"], Facts())  # fmt: skip

    def detect(self) -> Detected:
        """Find what is unusual."""
        return self._keep(
            "detected", detect(self.preprocessed(), self.found, DetectOptions(BUNDLE))
        )

    def native_space(self) -> Native:
        """Resample to the grid of the scan."""
        detected = self._kept("detected")
        return self._keep(
            "native", to_native_space(self.preprocessed(), detected, self.native_folder)
        )

    def figures(self) -> None:
        """Draw."""
        detected, native = self._kept("detected"), self._kept("native")
        draw_figures(
            self.source,
            output_files(self.preprocessed(), detected, native),
            rows=native.findings,
            alignment=alignment(self.preprocessed()),
            facts=detected.facts.values,
            bundle=BUNDLE,
            folder=self.folder / "figures",
        )

    def _keep(self, name: str, result: Any) -> Any:
        """Write a result where another process finds it: each stage may have one of its own."""
        (self.folder / f"{name}.pickle").write_bytes(pickle.dumps(result))
        return result

    def _kept(self, name: str) -> Any:
        return pickle.loads((self.folder / f"{name}.pickle").read_bytes())
