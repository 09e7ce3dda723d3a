"""A cohort as a coloured heatmap in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..analysis.periods import TimeGroup
from ..questions.cohort import CohortAnswer

# Background colours of the 256-colour palette from pale to full, each with the text
# colour that stays readable on it.
_LEVELS = (
    ("grey15", "white"),
    ("color(17)", "white"),
    ("color(18)", "white"),
    ("color(19)", "white"),
    ("color(25)", "white"),
    ("color(31)", "black"),
    ("color(74)", "black"),
    ("color(81)", "black"),
    ("color(117)", "black"),
    ("color(159)", "black"),
    ("color(195)", "black"),
)

_GREY = ("grey30", "white")

_UNKNOWN = "–"
_WIDEST = 100_000


def show_heatmap(answer: CohortAnswer) -> None:
    """Print a cohort, coloured where the terminal and rich allow it."""
    try:
        from rich.console import Console
        from rich.measure import Measurement
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        click.echo(_plain(answer))
        _tell_star(answer)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    heading, *columns = _heading(answer)
    table.add_column(heading, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row, (label, size, *cells) in enumerate(_rows(answer)):
        styled = [
            Text(text, style=_style(share, is_grey=answer.is_same and not column))
            for column, (text, share) in enumerate(zip(cells, answer.shares[row]))
        ]
        table.add_row(label, size, *styled)
    table.add_section()
    table.add_row(*_averages(answer), style="bold")
    console = Console(highlight=False)
    # A table wider than the terminal is for a pager or a file: never cut numbers.
    unbounded = console.options.update(max_width=_WIDEST)
    console.width = max(Measurement.get(console, unbounded, table).maximum, 80)
    console.print(table)
    _tell_star(answer)


def _tell_star(answer: CohortAnswer) -> None:
    if answer.question.returned != "on-or-after" and not all(answer.row_complete):
        click.echo("* still in progress, not included in averages", err=True)


def _heading(answer: CohortAnswer) -> list[str]:
    unit = TimeGroup(answer.question.time_group).singular
    return [unit, "users", *(f"+{each}" for each in range(answer.question.num_cols))]


def _rows(answer: CohortAnswer) -> Iterator[list[str]]:
    """Yield the lines of the table: a period, its users, and the cells."""
    columns = range(answer.question.num_cols)
    for row, (period, size) in enumerate(zip(answer.periods, answer.sizes)):
        cells = [_cell(answer, row, column) for column in columns]
        yield [period.label, _UNKNOWN if size is None else f"{size:,}", *cells]


def _averages(answer: CohortAnswer) -> list[str]:
    averages = ["" if each is None else f"{each:.1%}" for each in answer.averages]
    return ["average", f"{answer.total:,}", *averages]


def _cell(answer: CohortAnswer, row: int, column: int) -> str:
    number = answer.cells[row][column]
    if number is None:
        has_begun = row + column < len(answer.periods)
        return _UNKNOWN if has_begun else ""
    is_share = answer.question.cells == "percent"
    text = f"{number:.1%}" if is_share else f"{number:,}"
    grows = answer.question.returned == "on-or-after"
    return text if grows or answer.complete[row][column] else f"{text}*"


def _style(share: float | None, is_grey: bool) -> str:
    if share is None:
        return ""
    background, text = _GREY if is_grey else _LEVELS[min(10, round(share * 10))]
    return f"{text} on {background}"


def _plain(answer: CohortAnswer) -> str:
    lines = [_heading(answer), *_rows(answer), _averages(answer)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(
            [
                first.ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(cells, widths[1:])),
            ]
        ).rstrip()
        for first, *cells in lines
    )
