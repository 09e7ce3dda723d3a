"""What every result can do: become a dict, a CSV file, a data frame, a table."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import printable

Cell = Any
"""A cell of a table: text, a whole number, a share as a float, or None for blank."""


User = int | str
"""A user as the app knows them: by a whole number, or by a key of the app's own."""


class Table(NamedTuple):
    """A result as rows and columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Result:
    """The answer to a question.

    Results print as a table, in a terminal and in a notebook.
    """

    __slots__ = ()

    def to_dict(self) -> Mapping[str, Any]:
        """Return the result as plain dicts, lists, numbers, texts and None.

        The shape is stable and the same as in the JSON of the pages.
        """
        raise NotImplementedError

    def table(self) -> Table:
        """Return the result as one table."""
        raise NotImplementedError

    def sheet(self) -> Table:
        """Return all of the result as one table, also where it consists of several."""
        return self.table()

    def file_table(self) -> Table:
        """Return :meth:`sheet` as it goes into a file: with more, where that says
        more."""
        return self.sheet()

    def to_csv(self) -> str:
        """Return all of it as CSV, with a header and CRLF line ends (RFC 4180).

        A text that a spreadsheet would take for a formula gets an apostrophe in
        front, whichever separator it is set to.
        """
        columns, rows = self.file_table()
        return to_csv([columns, *rows])

    def to_dataframe(self) -> Any:
        """Return all of it as a ``pandas.DataFrame``.

        Raises:
            RuntimeError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise RuntimeError(
                "to_dataframe() needs pandas: pip install 'flask-bitmapist[dataframe]'"
            ) from None
        columns, rows = self.sheet()
        return pandas.DataFrame(rows, columns=list(columns))

    def __str__(self) -> str:
        return to_text(self.table())

    def _repr_html_(self) -> str:
        columns, rows = self.sheet()
        head = _html_row("th", columns)
        body = "".join(_html_row("td", map(_shown, row)) for row in rows)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


# Where a cell begins: at its own beginning, and at what separates cells where a comma
# stands in numbers.  Quotation marks and white space in front do not change it.
_FORMULA = re.compile(r'(^|[;|])(?=[\s"]*[=+\-@＝＋－＠])')


def to_text(table: Table) -> str:
    """Return *table* as lines of text, its columns one below the other."""
    lines = [list(map(_shown, row)) for row in (table.columns, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(_line(line, widths) for line in lines)


def to_csv(rows: Iterable[Sequence[Cell]]) -> str:
    """Return *rows* as CSV in which no text is taken for a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    return _FORMULA.sub(r"\1'", printable(cell))


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.1%}"
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return printable(str(cell))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths))
    return "  ".join([cells[0].ljust(widths[0]) if cells else first, *others]).rstrip()


def _html_row(tag: str, cells: Iterable[str]) -> str:
    inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
