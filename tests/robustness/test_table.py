"""The page tells what the robustness suite holds."""

from robustness.table import PAGE, with_tables


def test_the_tables_in_the_docs_are_those_of_the_cases():
    page = PAGE.read_text()
    assert with_tables(page) == page
