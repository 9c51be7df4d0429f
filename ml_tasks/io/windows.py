"""Which windows were published, and which were ingested to the end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.io.database import Database, now
from ml_tasks.io.schema import publications, windows
from ml_tasks.result import Window

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline
    from ml_tasks.io.leases import Lease

NONE_IN = (
    "none of its windows came as far as materialise; run its ingestion (rows that another product "
    "brought in are not its features)"
)
"""What to say where nothing is covered."""
AHEAD = timedelta(hours=25)
"""So far a window may end in the future: with today, by a clock that goes a little otherwise."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A window that is in, and the run that brought it; times are ISO 8601 in UTC."""

    start: str
    end: str
    run: str


def to_come(window: Window) -> str | None:
    """Say what is wrong with the end of a window that is asked for before its days are over."""
    latest = datetime.now(UTC) + AHEAD
    if window.end <= latest:
        return None
    return (
        f"came {window.end:%Y-%m-%d}, wanted {latest:%Y-%m-%d} at the latest: days to come have no "
        "rows"
    )


class Windows(Database):
    """The windows of each raw table, and those of each pipeline that reached the online store."""

    def published(self, table: str, start: str, end: str, run: str) -> None:
        """Say that a window of a raw table is out, with rows or without; once for all.

        Args:
            table: `namespace.name`.
            start: First moment, ISO 8601 in UTC.
            end: Moment after the last one.
            run: The run that published it.
        """
        values = {"table": table, "start": start, "end": end, "run": run, "at": now()}
        with contextlib.suppress(sa.exc.IntegrityError), self.transaction() as tx:
            tx.execute(publications.insert().values(values))

    def publications(self, table: str) -> list[Ingested]:
        """Give the windows of a raw table that were published, oldest first, and by which run."""
        return self._in_order(publications, publications.c.table == table)

    def complete(self, pipeline: str, start: str, end: str, run: str, lease: Lease) -> None:
        """Say that a window is in; the same again says it anew.

        A part of a longer one changes nothing: all of that is in.

        Args:
            pipeline: The product.
            start: First moment, ISO 8601 in UTC.
            end: Moment after the last one.
            run: The run that brought it in.
            lease: Its right to say so.

        Raises:
            LeaseLostError: Another attempt or run has the lease.
        """
        key = (windows.c.pipeline == pipeline) & (windows.c.start == start)
        with self.transaction() as tx:
            lease.check_within(tx)
            longer = sa.select(windows.c.run).where(key, windows.c.end > end)
            if tx.execute(longer).first() is not None:
                return
            tx.execute(windows.delete().where(key))
            tx.execute(
                windows.insert().values(pipeline=pipeline, start=start, end=end, run=run, at=now())
            )

    def covered(self, pipeline: str) -> str | None:
        """Give the end of the unbroken run of windows from the first one; `None` without any.

        Windows behind a hole do not count: who asks for all that is in must not span it.
        """
        end: str | None = None
        for window in self.windows(pipeline):
            if end is not None and window.start > end:
                break
            end = window.end if end is None else max(end, window.end)
        return end

    def all_in(self, pipeline: Pipeline) -> Window | None:
        """Give all that is in of a product, from its first day on; `None` where nothing is."""
        end, start = self.covered(pipeline.name), pipeline.schedule.start
        # The first day may have been moved behind what is in.
        return Window.parse(f"{start}/{end}") if end and end[:10] > str(start) else None

    def windows(self, pipeline: str) -> list[Ingested]:
        """Give the windows that are in, oldest first."""
        return self._in_order(windows, windows.c.pipeline == pipeline)

    def newest_windows(self, count: int) -> dict[str, list[Ingested]]:
        """Give each pipeline's newest windows, oldest first."""
        columns = (windows.c.pipeline, windows.c.start, windows.c.end, windows.c.run)
        place = sa.func.row_number().over(
            partition_by=windows.c.pipeline, order_by=windows.c.start.desc()
        )
        found = sa.select(*columns, place.label("place")).subquery()
        wanted = sa.select(found.c.pipeline, found.c.start, found.c.end, found.c.run)
        wanted = wanted.where(found.c.place <= count).order_by(found.c.pipeline, found.c.start)
        known: dict[str, list[Ingested]] = {}
        with self.transaction() as tx:
            for pipeline, *window in tx.execute(wanted):
                known.setdefault(pipeline, []).append(Ingested(*window))
        return known

    def _in_order(self, table: sa.Table, which: sa.ColumnElement[bool]) -> list[Ingested]:
        wanted = sa.select(table.c.start, table.c.end, table.c.run).where(which)
        with self.transaction() as tx:
            rows = tx.execute(wanted.order_by(table.c.start)).all()
        return [Ingested(*row) for row in rows]
