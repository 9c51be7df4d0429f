"""Turns: of the processes that work on one attempt, the last that began has the word."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.context import Turn
from ml_tasks.errors import LeaseLostError
from ml_tasks.io.database import Database, forget, now
from ml_tasks.io.schema import turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


class Turns(Database):
    """The order in which the processes of one attempt began, by control's own count."""

    def begin(self, task: str, attempt: int) -> Turn:
        """Take the next turn: what began before it on this attempt changes nothing any more.

        Args:
            task: Pipeline, run and task.
            attempt: Number of the task's try.
        """
        own = _of(task, attempt)
        with self.alone(f"turn {task} {attempt}") as tx:
            last = tx.execute(sa.select(turns.c.number).where(own).with_for_update()).scalar()
            turn = Turn(task, attempt, (last or 0) + 1)
            told = {"number": turn.number, "began": now()}
            if last is None:
                tx.execute(turns.insert().values(task=task, attempt=attempt, **told))
            else:
                tx.execute(turns.update().where(own).values(**told))
        return turn

    @contextmanager
    def speaking(self, turn: Turn) -> Iterator[None]:
        """Have the word for the length of a block: meanwhile no other process begins.

        Raises:
            LeaseLostError: One that began later has it.
        """
        with self.transaction() as tx:
            check(tx, turn)
            yield

    def forget_turns(self, until: datetime, *, dry: bool = False) -> int:
        """Take away those that began before a moment; give how many."""
        with self.transaction() as tx:
            return forget(tx, turns, turns.c.began < until.isoformat(), dry=dry)


def check(tx: sa.Connection, turn: Turn) -> None:
    """Make sure that no process began later, until the transaction ends.

    Raises:
        LeaseLostError: One did.
    """
    wanted = sa.select(turns.c.number).where(_of(turn.task, turn.attempt)).with_for_update()
    last = tx.execute(wanted).scalar()
    if last is not None and last > turn.number:
        raise LeaseLostError(
            f"lease lost: attempt {turn.attempt} of {turn.task} was begun again; this process, "
            f"its number {turn.number} of {last}, changes nothing"
        )


def _of(task: str, attempt: int) -> sa.ColumnElement[bool]:
    return (turns.c.task == task) & (turns.c.attempt == attempt)
