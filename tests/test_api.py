"""The public interface: light to import, documented by what runs, and the same as the command."""

import doctest
import hashlib
import json
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

import uadbids
from uadbids.errors import BundleError, ScanError, UsageError

# Of deepbet.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
DOCS = Path(__file__).parents[1] / "docs"


def test_import_is_quick_and_light():
    code = (
        "import sys, time; started = time.perf_counter(); import uadbids\n"
        "seconds = time.perf_counter() - started\n"
        "heavy = {'torch', 'ants', 'nipype', 'nibabel', 'pandas', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or (f'{seconds:.2f} s' if seconds > 0.3 else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_interface_imports_engines_only_when_they_are_needed():
    code = (
        "import sys, uadbids.api\n"
        "sys.exit(', '.join({'torch', 'ants', 'nipype', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_no_other():
    assert set(uadbids.__all__) <= set(dir(uadbids))
    assert all(getattr(uadbids, name) for name in uadbids.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        uadbids.nothing  # noqa: B018


def test_examples_of_the_page_and_of_docstrings_are_true():
    tested = [doctest.testfile(str(DOCS / "api.md"), module_relative=False)]
    tested += [
        doctest.testmod(module)
        for module in map(import_module, ("uadbids.api.single", "uadbids.api.study"))
    ]
    assert all(part.attempted and not part.failed for part in tested)


def test_masks_on_different_grids_are_refused():
    small, large = (nib.Nifti1Image(np.ones((n, 4, 4), np.uint8), np.eye(4)) for n in (4, 5))
    with pytest.raises(UsageError, match="do not lie on one grid"):
        uadbids.evaluate([(small, large)])


def test_mistakes_are_named(tmp_path):
    with pytest.raises(BundleError, match="dense3d"):
        uadbids.detect("x.nii.gz", model="nothing")
    with pytest.raises(ScanError, match="is not there"):
        uadbids.detect(tmp_path / "x.nii.gz")
    with pytest.raises(UsageError, match="holds no finished scan"):
        uadbids.load_derivatives(tmp_path)


def run_example(name: str, *arguments: object) -> dict:
    """Run an example of the docs in this process; return its names."""
    before, sys.argv = sys.argv, [name, *map(str, arguments)]
    try:
        return runpy.run_path(str(DOCS / "examples" / name))
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder that the example script has written, and its `Result`."""
    folder = tmp_path_factory.mktemp("api") / "one_scan"
    return folder, run_example("one_scan.py", folder)["result"]


@pytest.fixture(scope="module")
def command_out(example_run) -> Path:
    """Outputs of the command for the same scan, only to be looked at."""
    assert example_run.status == 0, example_run.text
    return example_run.out


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_maps_are_those_of_the_command_byte_for_byte(saved, command_out):
    folder, result = saved
    anat = command_out / "sub-20" / "ses-2" / "anat"
    names = {
        "native_anomaly": "space-orig_desc-anomaly_FLAIR.nii.gz",
        "native_score": "space-orig_label-anomaly_probseg.nii.gz",
        "native_lesions": "space-orig_label-anomaly_mask.nii.gz",
        "native_components": "space-orig_seg-anomaly_dseg.nii.gz",
        "native_brain": "space-orig_label-brain_mask.nii.gz",
        "template_anomaly": "space-UADBIDS_desc-anomaly_FLAIR.nii.gz",
        "template_recon": "space-UADBIDS_desc-recon_FLAIR.nii.gz",
        "template_preproc": "space-UADBIDS_desc-preproc_FLAIR.nii.gz",
        "template_lesions": "space-UADBIDS_label-anomaly_mask.nii.gz",
    }
    for key, name in names.items():
        assert sha256(folder / f"{key}.nii.gz") == sha256(anat / f"sub-20_ses-2_{name}"), key
    table = anat / "sub-20_ses-2_space-orig_seg-anomaly_dseg.tsv"
    assert (folder / "findings.tsv").read_bytes() == table.read_bytes()
    sidecar = json.loads((anat / f"sub-20_ses-2_{names['native_lesions'][:-7]}.json").read_text())
    for key, value in json.loads((folder / "qc.json").read_text()).items():
        assert key == "StageSeconds" or sidecar[key] == value, key
    assert repr(result).startswith(f"<Result: {len(result.findings)} findings, ")


@pytest.mark.slow
def test_a_study_is_read_as_tables(saved, command_out):
    _, result = saved
    study = uadbids.load_derivatives(command_out)
    assert list(study.scans["participant_id"]) == ["sub-20"]
    assert len(study.findings) == len(result.findings) > 0
    np.testing.assert_allclose(study.findings["volume_ml"], result.findings["volume_ml"])
    assert set(study.findings["session_id"]) == {"ses-2"}


@pytest.mark.slow
def test_images_lie_on_their_grids_and_outlive_the_result(saved, example_flair):
    folder, result = saved
    flair = nib.load(example_flair)
    assert result.mask.shape == result.anomaly_map.shape == flair.shape
    np.testing.assert_array_equal(result.mask.affine, flair.affine)
    assert result.template.anomaly_map.shape == (170, 204, 170)
    assert result.native.reconstruction is None and result.template.reconstruction is not None
    found = set(np.unique(np.asarray(result.native.components.dataobj))) - {0}
    assert found == set(result.findings.index)
    assert (folder / "detection.svg").read_text().lstrip().startswith("<")
    assert result.plot()._repr_svg_() == (folder / "detection.svg").read_text()


@pytest.mark.slow
def test_the_example_of_a_cohort_makes_tables_and_a_plot(command_out, tmp_path, capsys):
    run_example("cohort.py", command_out, tmp_path)
    assert "sub-20_ses-2" in capsys.readouterr().out
    assert (tmp_path / "volumes.png").stat().st_size > 1000
    scans = pd.read_csv(tmp_path / "scans.csv")
    findings = pd.read_csv(tmp_path / "findings.csv")
    assert scans["finding_volume_ml"].sum() == pytest.approx(findings["volume_ml"].sum(), abs=1e-3)


def test_the_example_of_own_masks_measures_them(tmp_path, capsys):
    drawn = np.zeros((12, 12, 12), np.uint8)
    drawn[2:6, 2:6, 2:6] = 1
    for shift in (0, 1):
        found = np.roll(drawn, shift, axis=0)
        nib.Nifti1Image(found, np.eye(4)).to_filename(tmp_path / f"found {shift}.nii.gz")
    nib.Nifti1Image(drawn, np.eye(4)).to_filename(tmp_path / "drawn.nii.gz")
    rows = ["map\tmask", *(f"found {shift}.nii.gz\tdrawn.nii.gz" for shift in (0, 1))]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows))
    run_example("own_masks.py", tmp_path / "pairs.tsv", tmp_path / "out.csv")
    assert "mean Dice 0.875, 95 % interval" in capsys.readouterr().out
    assert list(pd.read_csv(tmp_path / "out.csv")["dice"]) == [1.0, 0.75]
