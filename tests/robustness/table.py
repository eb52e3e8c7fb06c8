"""Write the tables of docs/reliability.md: ``PYTHONPATH=tests python -m robustness.table``."""

from collections.abc import Iterable
from pathlib import Path

from robustness.cases import CASES
from robustness.datasets import DATASETS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def scans() -> list[str]:
    lines = ["| input | outcome | what is said |", "|---|---|---|"]
    return [*lines, *(row(case.what, case.outcome, case.sentence) for case in CASES)]


def datasets() -> list[str]:
    lines = ["| dataset | status | what `--dry-run` says |", "|---|---|---|"]
    return [*lines, *(row(one.what, one.status, one.sentence) for one in DATASETS)]


def row(what: str, outcome: object, sentence: str) -> str:
    said = sentence.replace("FILE: ", "").replace("uadbids: ", "").replace("ROOT/", "")
    said = said.replace("ROOT", "BIDS_DIR").replace("ERROR", "...").replace("|", r"\|")
    return f"| {what.replace('<', '&lt;')} | {outcome} | {said} |"


def with_tables(page: str) -> str:
    for name, lines in (("scans", scans()), ("datasets", datasets())):
        page = _with_table(page, f"<!-- {name} -->\n", lines, f"<!-- /{name} -->\n")
    return page


def _with_table(page: str, start: str, lines: Iterable[str], end: str) -> str:
    before, _, rest = page.partition(start)
    return before + start + "".join(f"{line}\n" for line in lines) + end + rest.partition(end)[2]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
