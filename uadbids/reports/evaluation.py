"""The page of an evaluation: tables, curves and volumes; needs neither network nor script."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uadbids.reports.layout import write_page
from uadbids.reports.plots import COLOURS, STYLE, save_svg

_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
# A scan without lesions, or without findings, has no place on a logarithmic axis but this.
_SMALLEST_ML = 0.01


@dataclass(frozen=True)
class EvaluationReport:
    """Everything on the page."""

    facts: Mapping[str, Any]  # model, settings and seed under CamelCase keys
    kinds: Mapping[str, str]  # kinds of threshold and what they mean, in the order of the tables
    model: str  # name of the method that is the model
    summary: Sequence[Mapping[str, Any]]  # rows of ``summary.tsv``
    rows: Sequence[Mapping[str, Any]]  # rows of ``metrics.tsv``
    recalls: NDArray[np.floating]  # where the curves are known, (N,)
    # Reference and method -> mean precision, (N,).
    curves: Mapping[tuple[str, str], NDArray[np.floating]]
    notes: Mapping[str, Sequence[str]]  # scan -> what a reader should know
    failures: Mapping[str, str]  # scans that could not be measured -> why
    left_over: Mapping[str, str]  # files that were not paired -> why
    command: str  # as it was typed
    # The model's, as the page of a subject shows it.
    card: Mapping[str, Any] = field(default_factory=dict)


def write_evaluation_page(out: Path, report: EvaluationReport) -> Path:
    """Write the page (HTML) and, in ``figures`` beside it, its figures."""
    panels = {"precision_recall": _precision_recall} if report.curves else {}
    panels["volumes"] = _volumes
    for name, panel in panels.items():
        _draw(report, panel, out.parent / "figures" / f"{name}.svg")
    return write_page(
        out,
        "evaluation.html.j2",
        {"number": _number, "with_sd": _with_sd, "words": _words},
        report=report,
        references=_references(report),
        figures=list(panels),
        thirds=any(row.get("lesion_third") for row in report.rows),
        shown=[row for row in report.rows if row["method"] == report.model],
    )


def _references(report: EvaluationReport) -> list[str]:
    return list(dict.fromkeys(row["reference"] for row in report.rows))


def _draw(report: EvaluationReport, panel: Any, out: Path) -> None:
    """Draw one panel for each reference; the same figures give the same bytes."""
    references = _references(report)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6 * max(2, len(references)), 4.2), layout="constrained")
        for axes, reference in zip(
            np.ravel(figure.subplots(1, len(references), squeeze=False)), references, strict=True
        ):
            panel(axes, report, reference)
            axes.set_title(f"against {reference}", fontsize=10)
            axes.grid(alpha=0.3)
        save_svg(figure, out)


def _precision_recall(axes: Axes, report: EvaluationReport, reference: str) -> None:
    drawn = [(method, c) for (about, method), c in report.curves.items() if about == reference]
    for place, (method, curve) in enumerate(drawn):
        axes.plot(
            report.recalls,
            curve,
            label=method,
            color=COLOURS[place % len(COLOURS)],
            linestyle=_DASHES[place % len(_DASHES)],
            linewidth=1.8,
        )
    shares = {
        row["scan"]: row["prevalence"]
        for row in report.rows
        if row["reference"] == reference and row.get("prevalence")
    }
    if shares:
        chance = float(np.mean(list(shares.values())))
        axes.axhline(chance, color="#777777", linewidth=0.8, label="chance (prevalence)")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8)


def _volumes(axes: Axes, report: EvaluationReport, reference: str) -> None:
    rows = [row for row in report.rows if row["reference"] == reference]
    # The first kind that all methods have; label-free thresholds need healthy scans for that.
    methods = list(dict.fromkeys(r["method"] for r in rows if r["threshold_kind"] in report.kinds))
    drawn: list[float] = []
    known = {(r["method"], r["threshold_kind"]) for r in rows}
    for place, method in enumerate(methods):
        kind = next(kind for kind in report.kinds if (method, kind) in known)
        points = [
            (max(r["lesion_volume_ml"], _SMALLEST_ML), max(r["found_volume_ml"], _SMALLEST_ML))
            for r in rows
            if (r["method"], r["threshold_kind"]) == (method, kind)
        ]
        true, found = zip(*points, strict=True)
        drawn += [*true, *found]
        axes.scatter(
            true,
            found,
            s=22,
            alpha=0.8,
            color=COLOURS[place % len(COLOURS)],
            marker="osD^v"[place % 5],
            label=f"{method} ({kind})",
        )
    ends = [min(drawn) / 1.5, max(drawn) * 1.5]
    axes.plot(ends, ends, color="#777777", linewidth=0.8, label="equal")
    axes.set(xlabel="lesion volume, mL", ylabel="found volume, mL", xscale="log", yscale="log")
    axes.legend(fontsize=8)


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _number(value: Any, digits: int = 3) -> str:
    if not _known(value):
        return "n/a"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _with_sd(row: Mapping[str, Any], name: str) -> str:
    """Write a mean with its standard deviation, as Table 1 of the paper does."""
    deviation = row.get(f"{name}_sd")
    return _number(row.get(name)) + (f" ± {deviation:.3f}" if _known(deviation) else "")


def _words(key: str) -> str:
    """Write 'ModelSHA256' as 'Model SHA256'."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key)
