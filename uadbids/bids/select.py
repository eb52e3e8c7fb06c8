"""Choose participants by an expression over the columns of ``participants.tsv``.

The expression comes from a user, so it is parsed and walked, never evaluated as code: comparisons,
``and``, ``or`` and ``not`` over columns, texts and numbers are all it can hold.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from uadbids.bids.foreign import read_tsv
from uadbids.errors import UsageError

Row = Mapping[str, Any]

_LONGEST = 1000
_MISSING = frozenset({"", "n/a", "nan"})
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, several: value in several,
    ast.NotIn: lambda value, several: value not in several,
}


def select_participants(bids_dir: Path, expression: str) -> frozenset[str]:
    """Labels of the participants for whom an expression is true.

    Parameters
    ----------
    bids_dir : Path
        Root of a BIDS dataset with a ``participants.tsv``.
    expression : str
        For example ``group == 'control' and 20 <= age < 60`` or ``site in ('a', 'b')``. Columns
        whose values are all numbers compare as numbers, others as text. What compares with a
        missing value (``n/a``) is neither true nor false, nor is its negation: such a participant
        is selected only where another part of an ``or`` is true.

    Returns
    -------
    frozenset of str
        Labels without ``sub-``.

    Raises
    ------
    UsageError
        If there is no such table, the expression is none or names an unknown column, texts meet
        numbers, or nobody is selected.
    """
    path = Path(bids_dir) / "participants.tsv"
    rows = _typed(read_tsv(path))
    if not rows or "participant_id" not in rows[0]:
        raise UsageError(
            f"--select needs {path} with a column participant_id and a row for each participant"
        )
    try:
        condition = _parse(expression, rows[0])
        chosen = {row["participant_id"] for row in rows if _truth(condition, row)} - {None}
    except _ExpressionError as error:
        raise UsageError(f'--select "{expression}": {error}') from error
    if not chosen:
        raise UsageError(f'--select "{expression}": nobody in {path} is like that')
    return frozenset(label.removeprefix("sub-") for label in chosen)


class _ExpressionError(Exception):
    """What is wrong with an expression, as the end of a sentence."""


def _typed(rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Give columns of numbers their numbers; what is missing becomes ``None``."""
    names = [name for name in rows[0] if name] if rows else []
    columns = {
        # Labels such as 01 look like numbers, and are none.
        name: _column([row[name] for row in rows], text=name == "participant_id")
        for name in names
    }
    return [{name: columns[name][i] for name in names} for i in range(len(rows))]


def _column(cells: Sequence[str | None], *, text: bool) -> list[Any]:
    trimmed = [(cell or "").strip() for cell in cells]
    present = [None if cell.lower() in _MISSING else cell for cell in trimmed]
    if text:
        return list(present)
    try:
        return [None if cell is None else float(cell) for cell in present]
    except ValueError:
        return list(present)


def _parse(expression: str, columns: Row) -> ast.expr:
    """Parse an expression, and refuse all that is no condition over these columns."""
    if len(expression) > _LONGEST:
        raise _ExpressionError(f"it is longer than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():
            # Python's advice on its own syntax, such as an unknown escape, helps nobody here.
            warnings.simplefilter("ignore")
            condition = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _ExpressionError(
            "this is no condition such as group == 'control' and age < 60"
        ) from error
    _check_condition(condition, columns)
    return condition


def _check_condition(node: ast.expr, columns: Row) -> None:
    if isinstance(node, ast.BoolOp):
        for part in node.values:
            _check_condition(part, columns)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check_condition(node.operand, columns)
    elif isinstance(node, ast.Compare):
        for kind, side in zip((None, *node.ops), (node.left, *node.comparators), strict=True):
            _check_side(side, columns, several=isinstance(kind, ast.In | ast.NotIn))
            if kind is not None and type(kind) not in _COMPARE:
                raise _ExpressionError("compare by ==, !=, <, <=, >, >=, in or not in")
    else:
        raise _ExpressionError(
            f"{ast.unparse(node)} is no comparison; compare a column with a value, and join "
            "comparisons by and, or, not"
        )


def _check_side(node: ast.expr, columns: Row, *, several: bool) -> None:
    if several != isinstance(node, ast.Tuple | ast.List):
        raise _ExpressionError("a list such as ('a', 'b') goes with in and not in, and with them")
    if isinstance(node, ast.Tuple | ast.List):
        for item in node.elts:
            if _constant(item) is None:
                raise _ExpressionError(f"{ast.unparse(item)} in a list is no text or number")
    elif isinstance(node, ast.Name):
        if node.id not in columns:
            raise _ExpressionError(
                f"there is no column {node.id!r} in participants.tsv; there are "
                f"{', '.join(columns)} (texts need quotes)"
            )
    elif _constant(node) is None:
        raise _ExpressionError(f"{ast.unparse(node)} is no column, text or number")


def _constant(node: ast.expr) -> str | float | None:
    """Text or number that a node stands for; None where it is anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return -value if isinstance(value, float) else None
    # True and False are numbers to Python, and nothing in a table.
    if not isinstance(node, ast.Constant) or type(node.value) not in (str, int, float):
        return None
    if isinstance(node.value, str):
        return node.value
    try:
        return float(node.value)  # type: ignore[arg-type]  # the types were checked above
    except OverflowError:
        return math.inf


def _truth(node: ast.expr, row: Row) -> bool | None:
    """Truth of a checked condition; None where a missing value leaves it open (Kleene's logic)."""
    if isinstance(node, ast.BoolOp):
        return _joined([_truth(part, row) for part in node.values], isinstance(node.op, ast.Or))
    if isinstance(node, ast.UnaryOp):
        truth = _truth(node.operand, row)
        return None if truth is None else not truth
    compare = cast(ast.Compare, node)
    sides = [compare.left, *compare.comparators]
    # A chain such as 20 <= age < 60 is true where all its links are.
    links = zip(compare.ops, sides, sides[1:], strict=False)
    return _joined([_compare(kind, left, right, row) for kind, left, right in links], False)


def _joined(parts: Sequence[bool | None], decides: bool) -> bool | None:
    """Join by ``or``, which one True decides, or by ``and``, which one False decides."""
    if decides in parts:
        return decides
    return None if None in parts else not decides


def _compare(kind: ast.cmpop, left: ast.expr, right: ast.expr, row: Row) -> bool | None:
    first, second = _value(left, row), _value(right, row)
    if first is None or second is None:
        return None
    for other in second if isinstance(second, list) else [second]:
        if type(first) is not type(other):
            raise _ExpressionError(
                f"{ast.unparse(left)} and {ast.unparse(right)} are not both text or both numbers "
                "(texts have quotes, numbers have none)"
            )
    return _COMPARE[type(kind)](first, second)


def _value(node: ast.expr, row: Row) -> Any:
    if isinstance(node, ast.Name):
        return row[node.id]
    if isinstance(node, ast.Tuple | ast.List):
        return [_constant(item) for item in node.elts]
    return _constant(node)
