"""Write the table of the zoo into docs/reliability.md: ``PYTHONPATH=tests python -m zoo.table``."""

from pathlib import Path

from zoo.cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
START, END = "<!-- zoo -->\n", "<!-- /zoo -->\n"


def table() -> str:
    lines = ["| input | outcome | what is said |", "|---|---|---|"]
    for case in CASES:
        said = case.sentence.replace("FILE: ", "").replace("ERROR", "...").replace("|", r"\|")
        what = case.what.replace("<", "&lt;")
        lines.append(f"| {what} | {case.outcome} | {said} |")
    return "".join(f"{line}\n" for line in lines)


def with_table(page: str) -> str:
    before, _, rest = page.partition(START)
    return before + START + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
