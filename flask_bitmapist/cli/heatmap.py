"""A cohort as a coloured heatmap in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ..analysis.periods import TimeGroup
from ..questions.cohort import CohortAnswer, CohortDifference

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

# The same for differences, by how large they are: of less, and of more.
_LESS = ("color(52)", "color(94)", "color(130)")
_MORE = ("color(17)", "color(18)", "color(25)")

_GREY = ("grey30", "white")

_UNKNOWN = "–"
_WIDEST = 100_000


Shown = CohortAnswer | CohortDifference
"""What is printed as a heatmap."""


def show_heatmap(answer: Shown) -> None:
    """Print a cohort, or how far one is from another.

    It is coloured where the terminal and rich allow it.
    """
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
    style = _difference_style if isinstance(answer, CohortDifference) else _style
    for row, (label, size, *cells) in enumerate(_rows(answer)):
        styled = [
            Text(text, style=style(share, is_grey=answer.is_same and not column))
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


def _tell_star(answer: Shown) -> None:
    over = (row[0] for row in answer.complete)
    if answer.question.returned != "on-or-after" and not all(over):
        click.echo("* still in progress, not included in averages", err=True)


def _heading(answer: Shown) -> list[str]:
    unit = TimeGroup(answer.question.time_group).singular
    return [unit, "users", *(f"+{each}" for each in range(answer.question.num_cols))]


def _rows(answer: Shown) -> Iterator[list[str]]:
    """Yield the lines of the table: a period, its users, and the cells."""
    columns = range(answer.question.num_cols)
    for row, period in enumerate(answer.periods):
        cells = [_cell(answer, row, column) for column in columns]
        yield [
            period.label,
            _users([each.sizes[row] for each in _both(answer)]),
            *cells,
        ]


def _both(answer: Shown) -> list[CohortAnswer]:
    """Return the cohorts whose users are told."""
    if isinstance(answer, CohortAnswer):
        return [answer]
    return [answer.answer, answer.base]


def _users(sizes: Sequence[int | None]) -> str:
    told = (_UNKNOWN if size is None else f"{size:,}" for size in sizes)
    return " - ".join(told)


def _averages(answer: Shown) -> list[str]:
    totals = _users([each.total for each in _both(answer)])
    written = ["" if each is None else _share(answer, each) for each in answer.averages]
    return ["average", totals, *written]


def _share(answer: Shown, share: float) -> str:
    """Return a share in percent, a difference of two in points with its sign."""
    if isinstance(answer, CohortAnswer):
        return f"{share:.1%}"
    return f"{100 * share:+.1f}" if round(share, 3) else "0.0"


def _cell(answer: Shown, row: int, column: int) -> str:
    cells = answer.cells if isinstance(answer, CohortAnswer) else answer.shares
    number = cells[row][column]
    if number is None:
        has_begun = row + column < len(answer.periods)
        return _UNKNOWN if has_begun else ""
    is_users = answer.question.cells == "users"
    text = f"{number:,}" if is_users else _share(answer, number)
    grows = answer.question.returned == "on-or-after"
    return text if grows or answer.complete[row][column] else f"{text}*"


def _style(share: float | None, is_grey: bool) -> str:
    if share is None:
        return ""
    background, text = _GREY if is_grey else _LEVELS[min(10, round(share * 10))]
    return f"{text} on {background}"


def _difference_style(share: float | None, is_grey: bool) -> str:
    if not share or is_grey:
        return ""
    scale = _MORE if share > 0 else _LESS
    return f"white on {scale[min(len(scale) - 1, int(abs(share) * 10))]}"


def _plain(answer: Shown) -> str:
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
