"""A made-up study, its page, and what is read off it."""

import random
from pathlib import Path

from uadbids.bids.scan import Scan
from uadbids.reports.group import GroupReport, write_group_page
from uadbids.reports.group_table import group_rows, settings_of

CARD = {
    "name": "dense3d",
    "sha256": "ab",
    "training": {"sources": [{"name": "a cohort", "ages": "69 to 89"}]},
    "results": {"isbi-ms": {"dice": 0.31}},
    "limits": ["No children."],
    "license": "Apache-2.0",
}


def made_up(n, **odd):
    """Scans of two sessions a participant; every tenth is flagged."""
    draw = random.Random(n)
    scans = []
    for k in range(n):
        volume = round(draw.lognormvariate(1, 1.3), 4)
        facts = {
            "FindingVolumeMl": volume,
            "FindingCount": k,
            "LargestFindingMl": round(volume / 2, 4),
            "BrainVolumeMl": round(draw.gauss(1350, 100), 1),
            "ExaminedBrainFraction": round(draw.gauss(0.78, 0.02), 4),
            "RegistrationOverlap": round(draw.gauss(0.87, 0.02), 3),
            "SourceVoxelSizeMm": [1.0, 1.0, draw.choice([1.0, 3.0])],
            "StageSeconds": {"all": round(draw.gauss(20, 2), 2)},
            "Flags": ["thick-slices"] if k % 10 == 0 else [],
            "Warnings": ["Thick slices."] if k % 10 == 0 else [],
            "Model": "dense3d",
            "ModelSHA256": "ab",
            "Threshold": 3.0,
        }
        entities = {"subject": f"{k // 2:04d}", "session": str(k % 2 + 1)}
        scans.append(Scan(Path("x.nii.gz"), entities, facts | (odd if k == 1 else {})))
    return scans


def write(folder, scans, **other):
    """Write the page of a study, and pages of its participants for the links."""
    rows = group_rows(scans, other.pop("ratings", {}))
    for row in rows:
        page = folder / f"{row['participant_id']}.html"
        with page.open("a") as stream:
            stream.write(f'<title>x</title><p id="{row["scan"]}">{row["scan"]}</p>')
    for name in ("group_FLAIR.tsv", "group_FLAIR.json"):
        (folder / name).write_text("")
    told = {
        "unfinished": (),
        "unexpected": (),
        "unlinked": frozenset(),
        "frequency": None,
        "notes": (),
        "card": CARD,
        "run": {"uadbids": "1"},
        **other,
    }
    report = GroupReport(rows=rows, settings=settings_of(rows), **told)
    return write_group_page(folder / "group_FLAIR.html", report)


def strip(seen, title):
    figure = seen.page.locator(".strip").filter(has=seen.page.get_by_text(title, exact=True))
    return figure.locator("svg")


def first_column(seen):
    return seen.page.locator("#table tbody td:first-child").all_inner_texts()
