"""Commits to a table that another one may have changed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import BackendError
from ml_tasks.io.backend import answering

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.table import Table

TRIES = 20


@answering("lake")
def committed(table: Table, change: Callable[[Table], None]) -> Table:
    """Change a table in one commit, again on what it has become wherever that is refused.

    Args:
        table: As it was loaded; afterwards it is as it has become, and given back.
        change: What is to be done to it.

    Raises:
        BackendError: It changed under every try.
    """
    from pyiceberg.exceptions import CommitFailedException

    for _ in range(TRIES):
        try:
            change(table)
        except CommitFailedException:
            table.refresh()
        else:
            return table
    where = ".".join(table.name())
    raise BackendError(f"lake table {where}: it changed under {TRIES} tries; try later")
