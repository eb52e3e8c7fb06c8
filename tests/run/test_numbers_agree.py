"""Table of findings, sidecar, images, methods text, pages and table of the study say the same."""

import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uadbids.bids.derivatives import finished_scans
from uadbids.bids.foreign import read_tsv
from uadbids.bids.names import derivative_path
from uadbids.reports.layout import millilitres

pytestmark = pytest.mark.slow


def test_every_output_gives_the_same_numbers(example_run, example_dataset, tmp_path, here):
    out = Path(shutil.copytree(example_run.out, tmp_path / "out"))
    assert here(example_dataset, out, "group").returncode == 0
    (scan,) = finished_scans(out)
    sidecar, row = scan.metadata, read_tsv(out / "group_FLAIR.tsv")[0]
    image = nib.load(scan.mask)
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    marked = np.asarray(image.dataobj).sum() * voxel_ml
    table = read_tsv(out / derivative_path(scan, "native_components", ".tsv"))
    volumes = [float(finding["volume_ml"]) for finding in table]

    assert volumes == sorted(volumes, reverse=True)
    assert [int(finding["index"]) for finding in table] == list(range(1, len(table) + 1))
    assert min(volumes) >= sidecar["MinVolumeMm3"] / 1000
    for total in (sum(volumes), marked, float(row["finding_volume_ml"])):
        assert total == pytest.approx(sidecar["FindingVolumeMl"], abs=1e-3)
    assert len(table) == sidecar["FindingCount"] == int(row["finding_count"])
    assert volumes[0] == sidecar["LargestFindingMl"] == float(row["largest_finding_ml"])
    components = np.asarray(nib.load(out / derivative_path(scan, "template_components")).dataobj)
    assert set(np.unique(components)) - {0} == set(range(1, len(table) + 1))

    methods = (out / "logs" / "CITATION.md").read_text()
    assert f"findings under {sidecar['MinVolumeMm3']:g} mm3 were removed" in methods
    assert f"threshold was {sidecar['Threshold']:g}" in methods
    page = re.sub(r"<[^>]+>", " ", (out / "sub-20.html").read_text())
    assert f"Volume of findings (mL) {millilitres(sidecar['FindingVolumeMl'])}" in " ".join(
        page.split()
    )
