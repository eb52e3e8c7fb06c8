"""Two components on the template are resampled to scans with awkward headers."""

import ants
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from uadbids.pipeline.derive import to_native_space
from uadbids.pipeline.records import Detected, Preprocessed
from uadbids.preproc.conform import conform
from uadbids.preproc.template import Template
from uadbids.qc.facts import Facts

LPS = np.array([-1, -1, 1])
CENTRES = {1: np.array([28.0, -42.0, 20.0]), 2: np.array([-24.0, 8.0, 34.0])}
RADII = {1: 9.0, 2: 7.0}
SCANS = {
    "thick, oblique, LPS": (np.diag([-0.9, -0.9, 3.0]), (7, -12, 4)),
    "sagittal, left-handed": (np.array([[0, 0, -1.5], [-1.1, 0, 0], [0, 1.1, 0]]), (0, 15, -6)),
}


def ball(image_affine, shape, centre, radius):
    index = np.ogrid[tuple(slice(n) for n in shape)]
    square = 0.0
    for row, at in zip(image_affine[:3], centre, strict=True):
        square = square + (sum(row[k] * index[k] for k in range(3)) + row[3] - at) ** 2
    return square < radius**2


@pytest.fixture(scope="module", params=SCANS.values(), ids=SCANS)
def scan(request, tmp_path_factory):
    """Source, conformed scan and the transform from the template (8 degrees, 5 mm)."""
    tmp_path = tmp_path_factory.mktemp("scan")
    axes, degrees = request.param
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ axes
    shape = tuple(np.ceil(190 / nib.affines.voxel_sizes(affine)).astype(int))
    affine[:3, 3] = (1, -18, 14) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    data = np.random.default_rng(5).uniform(10, 90, shape).astype(np.float32)
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, code=3)
    image.set_sform(affine, code=2)
    image.header["descrip"] = b"a name"
    paths = {"source": tmp_path / "source.nii", "conformed": tmp_path / "conformed.nii"}
    image.to_filename(paths["source"])
    conform(paths["source"], paths["conformed"])
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", (8, -3, 5), degrees=True).as_matrix()
    move[:3, 3] = (3, -4, 1)
    transform = ants.create_ants_transform(
        transform_type="AffineTransform",
        dimension=3,
        matrix=LPS[:, None] * move[:3, :3] * LPS,
        offset=move[:3, 3] * LPS,
    )
    paths["xfm"] = tmp_path / "xfm.txt"
    ants.write_transform(transform, str(paths["xfm"]))
    return {**paths, "move": move, "affine": image.affine}


@pytest.fixture(scope="module")
def resampled_to(scan, tmp_path_factory):
    """Return a function: labelled balls (mm of the scan) -> what is there in native space."""

    def run(centres, radii, with_score=True, smallest=0.0, **flags):
        tmp_path = tmp_path_factory.mktemp("resampled_to")
        template = Template.packaged()
        shape = nib.load(template.t1w).shape
        labels = np.zeros(shape, np.int32)
        for number, centre in centres.items():
            at = apply_affine(np.linalg.inv(scan["move"]), centre)
            labels[ball(template.affine, shape, at, radii[number])] = number
        assert set(np.unique(labels)) == {0, *centres}
        template.save(labels, tmp_path / "labels.nii")
        template.save((labels / 10).astype(np.float32), tmp_path / "anomaly.nii")
        maps = {"anomaly": tmp_path / "anomaly.nii"}
        if with_score:
            maps["score"] = tmp_path / "anomaly.nii"
        image = nib.load(scan["conformed"])
        brain = ball(image.affine, image.shape, (0, -20, 15), 65).astype(np.uint8)
        nib.Nifti1Image(brain, image.affine).to_filename(tmp_path / "brain.nii")
        preprocessed = Preprocessed(
            source=scan["source"],
            conformed=scan["conformed"],
            brain=tmp_path / "brain.nii",
            xfm=scan["xfm"],
            # The brain of the template itself, moved: the affine is the rigid one.
            affine=scan["xfm"],
            volume=tmp_path,
            mask=template.brain_mask,
            facts=Facts(),
        )
        maps["components"] = tmp_path / "labels.nii"
        (tmp_path / "native").mkdir()
        return to_native_space(
            preprocessed,
            Detected(maps, Facts({"MinVolumeMm3": smallest, "Threshold": 0.05})),
            tmp_path / "native",
            **flags,
        )

    return run


@pytest.fixture(scope="module")
def native(resampled_to):
    return resampled_to(CENTRES, RADII)


def test_each_component_has_a_row_with_its_volume_and_place(native, scan):
    assert [(row["index"], row["name"]) for row in native.findings] == [
        (1, "finding-1"),
        (2, "finding-2"),
    ]
    for row in native.findings:
        number = row["index"]
        ball_ml = 4 / 3 * np.pi * RADII[number] ** 3 / 1000
        assert row["volume_ml"] == pytest.approx(ball_ml, rel=0.06)
        place = [row[key] for key in ("x_mm", "y_mm", "z_mm")]
        np.testing.assert_allclose(place, CENTRES[number], atol=0.5)
        place = [row[f"mni_{key}"] for key in ("x_mm", "y_mm", "z_mm")]
        at = apply_affine(np.linalg.inv(scan["move"]), CENTRES[number])
        np.testing.assert_allclose(place, at, atol=0.5)
        assert row["score_max"] == pytest.approx(number / 10, abs=1e-3)
        assert 0.6 * number / 10 < row["score_mean"] <= row["score_max"]


def test_each_component_has_the_name_of_its_place(native):
    """Template millimetres (28, -42, 20) and (-24, 8, 34), but for the move of the scan."""
    right, left = native.findings
    assert (right["hemisphere"], right["region"]) == ("right", "parietal lobe")
    assert right["location"] == "right parietal lobe, periventricular"
    assert (left["hemisphere"], left["region"]) == ("left", "frontal lobe")


def test_the_summary_counts_in_voxels_of_the_scan(native, scan):
    rows, summary = native.findings, native.facts.values
    voxel_ml = abs(np.linalg.det(scan["affine"][:3, :3])) / 1000
    counted = np.asarray(nib.load(native.files["native_components"]).dataobj) > 0
    assert summary["FindingVolumeMl"] == pytest.approx(counted.sum() * voxel_ml, abs=1e-3)
    assert summary["FindingCount"] == 2
    assert summary["LargestFindingMl"] == max(row["volume_ml"] for row in rows)


def test_every_image_repeats_the_geometry_of_the_scan_but_no_free_text(native, scan):
    source = nib.load(scan["source"])
    kinds = {"anomaly", "score", "components", "lesions", "brain"}
    files = {kind: native.files[f"native_{kind}"] for kind in kinds}
    assert native.files.keys() - {f"native_{kind}" for kind in kinds} == {
        "template_lesions",
        "template_components",
    }
    for path in files.values():
        image = nib.load(path)
        assert image.shape == source.shape
        np.testing.assert_array_equal(image.affine, source.affine)
        assert image.get_qform(coded=True)[1] == 3 and image.get_sform(coded=True)[1] == 2
        is_map = path.name in ("native_anomaly.nii.gz", "native_score.nii.gz")
        assert image.header["descrip"].item().startswith(b"uadbids: ") == is_map
        assert image.header["descrip"].item() != source.header["descrip"].item()
    shown = nib.load(files["anomaly"]).header
    assert (shown["cal_min"], shown["cal_max"]) == pytest.approx((0.05, 0.15))


def test_lesions_are_the_components_and_the_brain_is_where_it_was(native, scan):
    arrays = {kind: nib.load(path) for kind, path in native.files.items()}
    lesions = np.asarray(arrays["native_lesions"].dataobj)
    assert lesions.dtype == np.uint8
    np.testing.assert_array_equal(lesions, np.asarray(arrays["native_components"].dataobj) > 0)
    brain = arrays["native_brain"]
    inside = np.asarray(brain.dataobj)
    # Drawn on the conformed grid, whose header is rounded.
    drawn = nib.load(scan["conformed"])
    assert (inside > 0).sum() == ball(drawn.affine, drawn.shape, (0, -20, 15), 65).sum()
    centre = apply_affine(brain.affine, np.argwhere(inside).mean(axis=0))
    np.testing.assert_allclose(centre, (0, -20, 15), atol=0.3)


def test_findings_are_numbered_by_their_volume_on_every_grid(resampled_to):
    native = resampled_to(CENTRES, {1: 6.0, 2: 8.0})
    assert [row["index"] for row in native.findings] == [1, 2]
    assert native.findings[0]["volume_ml"] > native.findings[1]["volume_ml"]
    np.testing.assert_allclose([native.findings[0][k] for k in ("x_mm", "z_mm")], (-24, 34), atol=1)
    for space in ("native", "template"):
        components, lesions = (
            np.asarray(nib.load(native.files[f"{space}_{kind}"]).dataobj)
            for kind in ("components", "lesions")
        )
        sizes = np.bincount(components.ravel())[1:]
        assert len(sizes) == 2 and sizes[0] > sizes[1]
        np.testing.assert_array_equal(lesions > 0, components > 0)


def test_artefacts_are_tagged_and_dropped_from_images_alone(resampled_to, scan):
    # The second lies against the inner table of the skull, in front.
    centres = {1: CENTRES[1], 2: apply_affine(scan["move"], (20, 68, 12))}
    radii = {1: 7.0, 2: 4.0}
    for keep in (True, False):
        native = resampled_to(centres, radii, keep_artefacts=keep)
        tags = [(row["tag"], row["reason"]) for row in native.findings]
        assert tags == [("likely", ""), ("likely-artefact", "brain-mask boundary")]
        place = [native.findings[1][key] for key in ("region", "zone", "location")]
        assert place == ["", "", "boundary of the brain mask, near the right frontal lobe"]
        for key in ("native_components", "template_components"):
            found = np.unique(np.asarray(nib.load(native.files[key]).dataobj))
            assert set(found) == ({0, 1, 2} if keep else {0, 1})
        total, artefact = native.facts.values, native.findings[1]["volume_ml"]
        assert (total["FindingCount"], total["LikelyFindingCount"]) == (2, 1)
        without = total["FindingVolumeMl"] - artefact
        assert total["VolumeWithoutArtefactsMl"] == pytest.approx(without, abs=1e-3)


def test_the_minimum_size_holds_in_the_voxels_of_the_scan(resampled_to):
    """A ball of 1 mm is too small on both grids; nothing of it is left in tables or images."""
    native = resampled_to({1: CENTRES[1], 3: CENTRES[2]}, {1: 1.1, 3: 8.0}, smallest=40.0)
    (row,) = native.findings
    assert row["index"] == 1 and row["volume_ml"] > 0.04 and row["hemisphere"] == "left"
    assert native.facts.values["FindingCount"] == 1
    for key in ("native_components", "template_components"):
        assert set(np.unique(np.asarray(nib.load(native.files[key]).dataobj))) == {0, 1}


def test_a_component_that_falls_between_the_voxels_has_no_row(resampled_to, scan):
    """One voxel of the template that is the nearest of no voxel of the scan."""
    template = Template.packaged()
    to_template = np.linalg.inv(template.affine) @ np.linalg.inv(scan["move"]) @ scan["affine"]
    voxels = np.argwhere(np.ones(nib.load(scan["source"]).shape))
    seen = np.rint(apply_affine(to_template, voxels)).astype(int)
    unseen = np.ones((170, 204, 170), bool)
    unseen[tuple(seen[((seen >= 0) & (seen < unseen.shape)).all(axis=1)].T)] = False
    lost = np.argwhere(unseen[80:90, 95:105, 80:90])[0] + (80, 95, 80)
    place = apply_affine(scan["move"] @ template.affine, lost)
    native = resampled_to({1: place, 3: CENTRES[1]}, {1: 0.5, 3: 8.0}, with_score=False)
    assert [row["index"] for row in native.findings] == [1]
    assert native.facts.values["FindingCount"] == 1 and "native_score" not in native.files


def test_without_components_everything_is_zero(resampled_to):
    native = resampled_to({}, {})
    assert native.findings == []
    assert native.facts.values["FindingVolumeMl"] == native.facts.values["LargestFindingMl"] == 0
    assert native.facts.values["FindingCount"] == 0
    assert not np.asarray(nib.load(native.files["native_lesions"]).dataobj).any()
