"""A cohort as a coloured heatmap in the terminal."""

from __future__ import annotations

import click

from ..analysis.cohort import CohortResult
from .common import current_note

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

_WIDEST = 100_000


def show_heatmap(result: CohortResult, percent: bool) -> None:
    """Print a cohort, coloured where the terminal and rich allow it."""
    try:
        from rich.console import Console
        from rich.measure import Measurement
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        click.echo(_plain(result, percent))
        click.echo(_footer(result))
        return
    query = result.query
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(query.time_group.singular, no_wrap=True)
    table.add_column("users", justify="right")
    for column in range(query.num_cols):
        table.add_column(f"+{column}", justify="right", no_wrap=True)
    for row, period in enumerate(result.periods):
        cells = [
            Text(text, style=_style(share))
            for text, share in zip(_row(result, row, percent), result.shares[row])
        ]
        table.add_row(period.label, f"{result.sizes[row]:,}", *cells)
    table.add_section()
    averages = ["" if each is None else f"{each:.1%}" for each in result.averages]
    table.add_row("average", f"{result.total:,}", *averages, style="bold")
    console = Console(highlight=False)
    # A table wider than the terminal is for a pager or a file: never cut numbers.
    unbounded = console.options.update(max_width=_WIDEST)
    console.width = max(Measurement.get(console, unbounded, table).maximum, 80)
    console.print(table)
    click.echo(_footer(result))


def _row(result: CohortResult, row: int, percent: bool) -> list[str]:
    columns = range(result.query.num_cols)
    return [_cell(result, row, column, percent) for column in columns]


def _cell(result: CohortResult, row: int, column: int, percent: bool) -> str:
    count, share = result.counts[row][column], result.shares[row][column]
    if count is None or share is None:
        begun = row + column < len(result.periods)
        return "–" if begun and not result.sizes[row] else ""
    text = f"{share:.1%}" if percent else f"{count:,}"
    return f"{text}*" if result.is_incomplete(row, column) else text


def _style(share: float | None) -> str:
    if share is None:
        return ""
    background, text = _LEVELS[min(10, round(share * 10))]
    return f"{text} on {background}"


def _plain(result: CohortResult, percent: bool) -> str:
    header = [result.query.time_group.singular, "users"]
    lines = [[*header, *(f"+{each}" for each in range(result.query.num_cols))]]
    for row, period in enumerate(result.periods):
        cells = _row(result, row, percent)
        lines.append([period.label, f"{result.sizes[row]:,}", *cells])
    averages = ["" if each is None else f"{each:.1%}" for each in result.averages]
    lines.append(["average", f"{result.total:,}", *averages])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths)).rstrip()
        for line in lines
    )


def _footer(result: CohortResult) -> str:
    query = result.query
    asked = f"{query.primary} → {query.secondary}"
    return f"{asked}\n* {current_note(result.periods[-1].label)}"
