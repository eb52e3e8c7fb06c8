"""The page tells what the zoo holds."""

from zoo.table import PAGE, with_table


def test_the_table_in_the_docs_is_that_of_the_cases():
    page = PAGE.read_text()
    assert with_table(page) == page
