"""What a person sees; plain text where the output is piped."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_tasks.io.database import finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
MAX_FOLDED_COLUMNS = 5
"""Columns up to which a table that is too wide is folded within its cells."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Show rows: as a table to a person, with tabs between to a program.

    What has many columns and is too wide for the terminal would be torn into slivers, ids and
    windows too: it is shown row by row, a line for each cell that is not empty.
    """
    shown = [[_shown(cell) for cell in row] for row in rows]
    if not OUT.is_terminal:
        for row in shown:
            # Rich would turn tabs into spaces.
            OUT.file.write("\t".join(row) + "\n")
        return
    # Rich puts a border and two blanks around each cell.
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=False)]
    if len(columns) > MAX_FOLDED_COLUMNS and sum(widths) + 3 * len(columns) + 1 > OUT.width:
        _one_by_one(title, columns, shown)
        return
    made = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in shown:
        made.add_row(*map(escape, row))
    OUT.print(made, soft_wrap=False)


def _one_by_one(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    OUT.print(title, style="bold", markup=False)
    for row in rows:
        made = Table.grid(padding=(0, 2))
        made.add_column(no_wrap=True, style="dim")
        made.add_column(overflow="fold")
        for column, cell in zip(columns, row, strict=False):
            if cell:
                made.add_row(escape(column), escape(cell))
        OUT.print(made, "", soft_wrap=False)


def _shown(cell: object) -> str:
    """Give a cell's text; what another system wrote must not move the cursor or tear the row."""
    return "".join(one if one.isprintable() else " " for one in str(cell))


def say(text: str) -> None:
    """Show a line, with marks for style."""
    OUT.print(text)


def plain(text: str) -> None:
    """Show text as it is."""
    OUT.print(text, markup=False)


def as_json(value: object) -> None:
    """Show a value as JSON; a number that JSON has no word for, such as infinity, is null."""
    plain(json.dumps(finite(value), indent=2, allow_nan=False))


def note(text: str) -> None:
    """Say what is going on, beside what a program reads."""
    ERR.print(text, markup=False)


def fail(text: str) -> None:
    """Show what went wrong."""
    ERR.print(text, style="red", markup=False)


@contextmanager
def waiting(text: str, out: Console = OUT) -> Iterator[Callable[[str], None]]:
    """Show that something goes on; gives what tells its news: a spinner's text, or a line each."""
    if not out.is_terminal:
        yield lambda news: out.print(news, markup=False)
        return
    with out.status(text) as spinner:

        def show(news: str) -> None:
            spinner.update(f"{text}: {news}")

        yield show
