"""What a person should know when a run is over: what needs a look, and where everything is."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from uadbids.bids.derivatives import marker_path
from uadbids.bids.files import read_json
from uadbids.bids.names import report_path
from uadbids.bids.scan import Scan
from uadbids.run.options import StudyOptions
from uadbids.run.runlog import LOG_NAME

# Names that a line on the terminal holds.
_SHOWN = 5


def closing(
    options: StudyOptions, done: Sequence[Scan], failed: Sequence[str], run_uuid: str
) -> list[str]:
    """Sum a run up in sentences: failed and flagged scans, the page to open, the log.

    `done` are the scans that were examined, `failed` names of those that were refused or failed.
    """
    flagged = {scan.name: flags for scan in done if (flags := _flags(options.output_dir, scan))}
    lines = []
    if failed:
        lines.append(f"without result: {len(failed)} ({_listed(failed)})")
    if flagged:
        named = [f"{name}: {', '.join(flags)}" for name, flags in flagged.items()]
        lines.append(f"flagged, look at these first: {len(flagged)} ({_listed(named, '; ')})")
    # What is flagged first, what failed last.
    ordered = sorted(done, key=lambda scan: scan.name not in flagged)
    if ordered:
        lines.append(f"page to open next: {options.output_dir / report_path(ordered[0].subject)}")
        folders = shlex.join(map(str, (options.bids_dir, options.output_dir)))
        lines.append(f"all scans on one page: uadbids {folders} group")
    lines.append(f"log: {options.output_dir / 'logs' / run_uuid / LOG_NAME}")
    if done and (options.output_dir / "group_FLAIR.tsv").exists():
        lines.append("the group level's table and page are older than these outputs: run it again")
    return lines


def _flags(output_dir: Path, scan: Scan) -> list[str]:
    flags = (read_json(marker_path(output_dir, scan)) or {}).get("Flags")
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def _listed(names: Sequence[str], between: str = ", ") -> str:
    more = between + "..." if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + more
