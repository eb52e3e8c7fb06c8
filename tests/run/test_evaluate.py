"""Whole evaluations of small studies, recomputed by other means."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from uadbids.detection.postprocess import AT_THRESHOLD, HALF_MAXIMUM
from uadbids.run.evaluate import EvaluateOptions, evaluate
from uadbids.run.runlog import Request


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """Folder of an evaluation with all that there is."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    options = EvaluateOptions(
        data / "maps",
        data / "masks",
        out,
        healthy_dir=data / "healthy",
        request=Request("uadbids evaluate"),
    )
    assert evaluate(options) == 0
    return out


@pytest.fixture(scope="module")
def recompute():
    """Script that knows nothing of uadbids and can be run on any evaluation."""
    script = Path(__file__).parents[2] / "benchmarks" / "recompute.py"
    spec = importlib.util.spec_from_file_location("recompute", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_agree_with_a_recomputation_from_the_files(data, done, study, recompute):
    masks = [study.mask_path(data / "masks", label) for label in study.labels]
    found = list(recompute.differences(data / "maps", done, masks))
    assert {scan for scan, *_ in found} == {f"sub-{label}" for label in study.labels}
    # 12 figures of each scan; sensitivity and HD95 of the three with lesions.
    assert len(found) == 4 * 12 + 2 * 3
    for scan, name, ours, again in found:
        assert ours == pytest.approx(again, abs=1e-6), (scan, name)
    rows = [
        row
        for row in study.table(done / "metrics.tsv")
        if (row["method"], row["threshold_kind"]) == ("small", "label-free")
    ]
    assert rows[3]["sensitivity"] == rows[3]["hd95_mm"] == rows[3]["lesion_third"] == "n/a"
    assert float(rows[0]["dice"]) > 0.6
    # All lesions of these lie where the model looks; the figure is a share of each.
    assert [row["lesion_examined"] for row in rows] == ["1", "1", "1", "n/a"]


def test_average_precision_agrees_with_scikit_learn(data, done, study):
    """Where nobody looks, a map counts as lowest; here that is set by hand."""
    from uadbids.bids.derivatives import finished_scans
    from uadbids.evaluation.cases import read_detection, read_template_side
    from uadbids.evaluation.images import Way
    from uadbids.preproc.volume import read_canonical

    scan = finished_scans(data / "maps", "01")[0]
    side = read_template_side(scan, data / "maps", read_detection(data / "maps"))
    anat = data / "maps" / "sub-01" / "anat" / "sub-01"
    template = read_canonical(Path(f"{anat}_space-UADBIDS_desc-anomaly_FLAIR.nii.gz"))
    anomaly = read_canonical(Path(f"{anat}_space-orig_desc-anomaly_FLAIR.nii.gz"))
    brain = read_canonical(Path(f"{anat}_space-orig_label-brain_mask.nii.gz")).data > 0
    truth = read_canonical(study.mask_path(data / "masks", "01")).data > 0
    xfm = anat.with_name("sub-01_from-orig_to-UADBIDS_mode-image_xfm.txt")
    way = Way(xfm, anomaly, template)
    scores = np.where(way.labels(side.examined), anomaly.data, -1)
    within = brain | truth
    (row, *_) = (r for r in study.table(done / "metrics.tsv") if r["participant_id"] == "sub-01")
    assert float(row["average_precision"]) == pytest.approx(
        average_precision_score(truth[within], scores[within]), abs=1e-6
    )


def test_the_summary_is_that_of_the_rows(done, study):
    rows, summary = study.table(done / "metrics.tsv"), study.table(done / "summary.tsv")
    assert [(line["method"], line["threshold_kind"]) for line in summary] == [
        ("small", "label-free"),
        ("equalised intensity", "label-free"),
        ("robust z of intensity", "label-free"),
        ("voxel-wise mean and SD", "label-free"),
        ("small", "paper"),
        ("small", "halves"),
        ("equalised intensity", "halves"),
        ("robust z of intensity", "halves"),
        ("voxel-wise mean and SD", "halves"),
        ("small", "oracle"),
        ("equalised intensity", "oracle"),
        ("robust z of intensity", "oracle"),
        ("voxel-wise mean and SD", "oracle"),
    ]
    for line in summary:
        members = [
            row
            for row in rows
            if all(row[name] == line[name] for name in ("method", "threshold_kind", "reference"))
        ]
        dices = [float(row["dice"]) for row in members]
        assert line["scans"] == line["participants"] == "4"
        assert float(line["dice"]) == pytest.approx(np.mean(dices))
        assert float(line["dice_sd"]) == pytest.approx(np.std(dices, ddof=1))
        assert float(line["dice_low"]) <= float(line["dice"]) <= float(line["dice_high"])
        assert (line["p_value"] != "n/a") == (line["method"] == "small")
    by_kind = {(line["method"], line["threshold_kind"]): line for line in summary}
    ours = by_kind["small", "halves"]
    best = max(
        (line for line in summary if line["threshold_kind"] == "halves" and line is not ours),
        key=lambda line: float(line["dice"]),
    )
    assert ours["compared_with"] == best["method"]
    difference = float(ours["dice"]) - float(best["dice"])
    assert float(ours["difference"]) == pytest.approx(difference, abs=1e-6)


def test_thresholds_of_the_halves_and_of_the_oracle_are_the_best_of_those_tried(data, done, study):
    """Brute force over the thresholds of the paper, on the template grid as detection works."""
    from uadbids.bids.derivatives import finished_scans
    from uadbids.evaluation.cases import Reading, read_case, read_detection
    from uadbids.evaluation.pairs import find_pairs
    from uadbids.evaluation.protocol import PAPER_THRESHOLDS, halves

    pairs = find_pairs(data / "maps", data / "masks", {}).pairs
    reading = Reading(data / "maps", read_detection(data / "maps"))
    dices = []
    for pair in pairs:
        case = read_case(pair, reading)
        truth, line = case.references["label-lesion"], []
        for threshold in PAPER_THRESHOLDS:
            found = case.labels(case.side.findings(case.side.anomaly, threshold, AT_THRESHOLD))
            total = found.sum() + truth.sum()
            line.append(2 * (found & truth).sum() / total if total else 1.0)
        dices.append(line)
    dices = np.array(dices)
    # The scan without lesions and that with the smaller one are the small third.
    first = halves(study.labels, ["1", "0", "2", "0"], seed=0)
    assert first.sum() == 2 and first[1] != first[3]
    best = {side: PAPER_THRESHOLDS[dices[first == side].mean(axis=0).argmax()] for side in (0, 1)}
    rows = {
        row["participant_id"]: row
        for row in study.table(done / "metrics.tsv")
        if (row["method"], row["threshold_kind"]) == ("small", "paper")
    }
    assert len(finished_scans(data / "maps")) == len(rows) == 4
    for place, (label, in_first) in enumerate(zip(study.labels, first, strict=True)):
        row = rows[f"sub-{label}"]
        assert float(row["threshold"]) == pytest.approx(best[not in_first])
        column = PAPER_THRESHOLDS.index(best[not in_first])
        assert float(row["dice"]) == pytest.approx(dices[place, column], abs=1e-6)


def test_the_oracle_is_never_behind_the_halves(done, study):
    by_kind = {(s["method"], s["threshold_kind"]): s for s in study.table(done / "summary.tsv")}
    for method in ("small", "equalised intensity", "robust z of intensity"):
        oracle, fair = (float(by_kind[method, kind]["dice"]) for kind in ("oracle", "halves"))
        assert oracle >= fair


def test_every_column_is_explained(done, study):
    for name in ("metrics", "summary"):
        columns = list(study.table(done / f"{name}.tsv")[0])
        assert columns == list(json.loads((done / f"{name}.json").read_text()))


def test_the_record_names_the_inputs(data, done, study):
    import hashlib

    record = json.loads((done / "evaluation.json").read_text())
    assert record["Command"] == "uadbids evaluate"
    assert record["HealthyScans"] == 3
    listed = {(row["scan"], row["file"]): row["sha256"] for row in record["Inputs"]}
    path = study.mask_path(data / "masks", "02")
    assert listed["sub-02", path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert ("sub-02", "sub-02_space-orig_label-anomaly_mask.nii.gz") in listed
    assert str(data) not in (done / "evaluation.json").read_text()


def test_baselines_mark_as_much_of_healthy_scans_as_the_model(data):
    from uadbids.bids.derivatives import finished_scans
    from uadbids.evaluation.baselines import baselines
    from uadbids.evaluation.cases import read_detection, read_template_side

    detection = read_detection(data / "maps")
    found = baselines(data / "maps", data / "healthy", detection)
    scans = finished_scans(data / "healthy")
    sides = [read_template_side(scan, data / "healthy", detection) for scan in scans]
    ours = sum((side.anomaly[side.examined] > 0.15).sum() for side in sides)
    assert ours > 20
    for method in found[:2]:
        theirs = sum((method.scores(s)[s.examined] > method.threshold).sum() for s in sides)
        # Equal values at the threshold: ranks of three brains have steps in common.
        assert ours - 3 <= theirs <= ours
    # Of a scan that was not in the reference, more is unusual than of one that was.
    voxelwise = found[2]
    theirs = sum((voxelwise.scores(s)[s.examined] > voxelwise.threshold).sum() for s in sides)
    assert theirs < ours


def test_two_raters_are_compared_with_each_other(data, tmp_path, study):
    options = EvaluateOptions(data / "maps", data / "raters", tmp_path, with_baselines=False)
    assert evaluate(options) == 0
    rows = study.table(tmp_path / "metrics.tsv")
    by_hand = [row for row in rows if row["threshold_kind"] == "by hand"]
    assert len(by_hand) == 4
    assert {row["method"] for row in by_hand} == {"label-lesion_desc-ben"}
    first = by_hand[0]
    anna, ben = (
        study.voxels(study.mask_path(data / "raters", "01", f"label-lesion_desc-{rater}")) > 0
        for rater in ("anna", "ben")
    )
    # Ben draws inside of what Anna draws.
    assert float(first["dice"]) == pytest.approx(2 * ben.sum() / (anna.sum() + ben.sum()))
    assert first["precision"] == "1"
    options = EvaluateOptions(
        data / "maps", data / "raters", tmp_path, ("desc=ben",), with_baselines=False
    )
    assert evaluate(options) == 0
    assert {row["reference"] for row in study.table(tmp_path / "metrics.tsv")} == {
        "label-lesion_desc-ben"
    }


def test_a_model_with_another_residual_is_also_measured_by_the_papers(
    maps, done, data, tmp_path, study
):
    """The plain residual of the same reconstruction, under the paper's protocol."""
    for path in maps.glob("sub-*/anat/*_space-orig_label-anomaly_mask.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ResidualKind": "excess-z"}))
    assert evaluate(EvaluateOptions(maps, data / "masks", tmp_path / "out")) == 0
    rows = {
        (row["method"], row["threshold_kind"]): row
        for row in study.table(tmp_path / "out" / "summary.tsv")
    }
    plain = "small, plain residual"
    assert ("small", "paper") not in rows
    assert {kind for method, kind in rows if method == plain} == {"paper", "halves", "oracle"}
    # Here the map of the model is that very residual.
    parity = next(
        row
        for row in study.table(done / "summary.tsv")
        if (row["method"], row["threshold_kind"]) == ("small", "paper")
    )
    for name in ("dice", "threshold", "sensitivity", "specificity_image", "mae_brain"):
        assert rows[plain, "paper"][name] == parity[name]
    # It is no baseline: the model is compared with intensity alone.
    assert {row["compared_with"] for row in rows.values()} <= {
        "n/a", "equalised intensity", "robust z of intensity",
    }  # fmt: skip


def test_on_the_template_only_the_crop_counts(data, tmp_path, study):
    options = EvaluateOptions(
        data / "maps", data / "masks", tmp_path, space="template", with_baselines=False
    )
    assert evaluate(options) == 0
    rows = [r for r in study.table(tmp_path / "metrics.tsv") if r["threshold_kind"] == "label-free"]
    found = study.voxels(data / "maps/sub-01/anat/sub-01_space-UADBIDS_label-anomaly_mask.nii.gz")
    assert float(rows[0]["found_volume_ml"]) == pytest.approx(found.sum() / 1000)
    fp = float(rows[0]["false_positive_ml"]) * 1000
    negative = 40 * 48 * 32 - float(rows[0]["lesion_volume_ml"]) * 1000
    assert float(rows[0]["specificity_image"]) == pytest.approx(1 - fp / negative, abs=1e-6)


def test_the_same_command_gives_the_same_files(data, done, tmp_path):
    options = EvaluateOptions(
        data / "maps",
        data / "masks",
        tmp_path,
        healthy_dir=data / "healthy",
        request=Request("uadbids evaluate"),
    )
    evaluate(options)
    logs = set(done.glob("logs/*/*"))
    assert logs
    for path in set(done.rglob("*.*")) - logs:
        assert (tmp_path / path.relative_to(done)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("kind", "boundary"), [("tfce", HALF_MAXIMUM), ("positive", AT_THRESHOLD)])
def test_lesions_of_the_model_end_where_its_detection_ended_them(kind, boundary):
    from uadbids.bids.scan import Scan
    from uadbids.evaluation.baselines import model_of

    facts = {"Model": "m", "ModelSHA256": "0", "ResidualKind": kind}
    method = model_of([Scan(Path("x.nii.gz"), {"subject": "1"}, facts)])
    assert method.boundary == boundary
