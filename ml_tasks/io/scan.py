"""Reads rows of an Iceberg table as it was loaded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ml_tasks.io.backend import answering
from ml_tasks.io.content import EVENT_TIME, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import Table

    from ml_tasks.result import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@answering("lake")
def scanned(
    table: Table,
    window: Window | None = None,
    columns: Sequence[str] | None = None,
    snapshot: int | None = None,
) -> pa.Table:
    """Give rows in the order in which they are stored, texts as plain strings.

    Args:
        table: As it was loaded.
        window: Only rows whose `event_time` lies in it.
        columns: Only these columns.
        snapshot: As of this snapshot; the newest when not given.
    """
    from pyiceberg.expressions import AlwaysTrue

    scan = table.scan(
        row_filter=AlwaysTrue() if window is None else within(window),
        selected_fields=tuple(columns or ("*",)),
        snapshot_id=snapshot,
    )
    return plain(scan.to_arrow())


def newest(table: Table) -> datetime | None:
    """Give the newest `event_time`; `None` without rows.

    Manifests tell it of our own files; where one does not, or has rows taken away, all are read.
    """
    import pyarrow.compute as pc
    from pyiceberg.conversions import from_bytes

    column, plan = table.schema().find_field(EVENT_TIME), list(table.scan().plan_files())
    ends = [(one.file.upper_bounds or {}).get(column.field_id) for one in plan]
    if None in ends or any(one.delete_files for one in plan):
        found: datetime | None = pc.max(scanned(table, columns=[EVENT_TIME])[EVENT_TIME]).as_py()
        return found
    known = [from_bytes(column.field_type, end) for end in ends]
    return EPOCH + timedelta(microseconds=max(known)) if known else None


def within(window: Window) -> BooleanExpression:
    """Give the condition that rows of a window meet."""
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    start, end = window.start.isoformat(), window.end.isoformat()
    return And(GreaterThanOrEqual(EVENT_TIME, start), LessThan(EVENT_TIME, end))
