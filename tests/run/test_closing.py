"""What a run says while it lasts and when it is over."""

import io
import json

from rich.console import Console

from uadbids.bids.derivatives import marker_path
from uadbids.bids.scan import Scan
from uadbids.run import progress as module
from uadbids.run.closing import closing
from uadbids.run.options import StudyOptions
from uadbids.run.progress import Progress


def scans(out, flags):
    found = []
    for label, raised in flags.items():
        scan = Scan(out / "x.nii.gz", {"subject": label})
        marker = marker_path(out, scan)
        marker.parent.mkdir(parents=True)
        marker.write_text(json.dumps({"Flags": raised}))
        found.append(scan)
    return found


def test_the_end_names_what_to_look_at_and_where_it_is(tmp_path):
    out, raw = tmp_path / "out", tmp_path / "my data"
    done = scans(out, {"01": [], "02": ["registration", "contrast"], "03": []})
    lines = closing(StudyOptions(raw, out), done, ["sub-04", "sub-05"], "run-1")
    assert lines == [
        "without result: 2 (sub-04, sub-05)",
        "flagged, look at these first: 1 (sub-02: registration, contrast)",
        f"page to open next: {out}/sub-02.html",
        f"all scans on one page: uadbids '{raw}' {out} group",
        f"log: {out}/logs/run-1/uadbids.log",
    ]


def test_a_run_without_results_names_its_log_alone(tmp_path):
    names = [f"sub-{n}" for n in range(9)]
    lines = closing(StudyOptions(tmp_path, tmp_path), [], names, "run-1")
    assert lines[0] == "without result: 9 (sub-0, sub-1, sub-2, sub-3, sub-4, ...)"
    assert len(lines) == 2 and lines[1].startswith("log: ")


def test_time_left_follows_the_pace(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    written = io.StringIO()
    titles = {f"s{n}": f"sub-0{n}" for n in range(3)}
    progress = Progress(titles, console=Console(file=written, width=200))
    for graph in titles:
        progress.step(graph, "derive", "start")
        now[0] += 60
        progress.step(graph, "derive", "end")
    lines = [line for line in written.getvalue().splitlines() if ": done" in line]
    assert lines == [
        "sub-00: done (1 of 3, about 2 min left)",
        "sub-01: done (2 of 3, about 60 s left)",
        "sub-02: done (3 of 3)",
    ]
