"""One window of an Iceberg table: what it is to hold, in one commit on the loaded snapshot."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.io import evolution, objects
from ml_tasks.io.content import EVENT_TIME, content_hash, plain
from ml_tasks.io.scan import scanned, within
from ml_tasks.result import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from ml_tasks.result import Window

NUMBER = b"PARQUET:field_id"
"""What Arrow calls a column's number in a Parquet file."""


@dataclass(frozen=True, slots=True)
class New:
    """What a window is to hold."""

    window: Window
    merge: Callable[[pa.Table], pa.Table]
    """Gives all its rows from those that it has, as the table is when it is committed on."""
    properties: dict[str, str]


def numbered(table: Table | None, schema: pa.Schema) -> pa.Schema:
    """Give columns the numbers that they have in a table, or will have once it is made.

    Where it lacks one of them they stay without.
    """
    if table is None:
        numbers = {name: number for number, name in enumerate(schema.names, 1)}
    else:
        numbers = {one.name: one.field_id for one in table.schema().fields}
    if not numbers.keys() >= set(schema.names):
        return schema
    for place, one in enumerate(schema):
        schema = schema.set(place, one.with_metadata({NUMBER: str(numbers[one.name])}))
    return schema


def brought(table: Table, new: New) -> Output:
    """Let the loaded table have the window, and give it with the snapshot that has it."""
    before = scanned(table, new.window)
    rows = plain(new.merge(before))  # as they will be read: else equal rows differ by type
    digest = content_hash(rows)
    # What the rows come without stays as it is where nothing else is new.
    same = before.num_rows == rows.num_rows and (
        content_hash(before.select(rows.column_names)) == digest
    )
    if table.current_snapshot() is None or not same:
        _replace(table, before.num_rows, rows, new)
    return _now(table, Output(content_hash=digest, rows=rows.num_rows, window=new.window))


def added(
    table: Table, staged: Output, window: Window, properties: dict[str, str]
) -> Output | None:
    """Let the loaded table have objects as they are, and give it with the snapshot that has them.

    `None` where the window has rows, the objects' columns are not numbered as the table's, or
    nobody wrote down what their bytes were.
    """
    if staged.uri is None or staged.bytes_hash is None:
        return None
    with ThreadPoolExecutor(len(staged.parts)) as pool:
        came = pool.map(objects.read_bytes, staged.parts, staged.parts.values())
        has = scanned(table, window, [EVENT_TIME]).num_rows
        data = list(came)
    if has or not all(_fits(table, one) for one in data):
        return None
    _add(table, data, properties)
    return _now(table, Output(content_hash=staged.content_hash, rows=staged.rows, window=window))


def _now(table: Table, made: Output) -> Output:
    """Say in which table something was published, and in which of its snapshots."""
    current = table.current_snapshot()
    told = {"table": ".".join(table.name()), "snapshot": current and current.snapshot_id}
    return made.model_copy(update=told)


def _replace(table: Table, had: int, rows: pa.Table, new: New) -> None:
    """Replace the window in one transaction on the loaded snapshot."""
    from ml_tasks.io.transaction import Transaction

    fitting = evolution.conform(rows, table.schema().as_arrow())
    with Transaction(table) as tx:
        if had:
            tx.overwrite(fitting, within(new.window), snapshot_properties=new.properties)
        else:  # looking for rows to delete would read every manifest
            tx.append(fitting, snapshot_properties=new.properties)


def _fits(table: Table, data: bytes) -> bool:
    """Tell whether a file's columns are the table's, by name, number and type."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(pa.BufferReader(data))
    numbers = {one.name: str(one.field_id).encode() for one in table.schema().fields}
    known = all((one.metadata or {}).get(NUMBER) == numbers.get(one.name) for one in schema)
    try:
        return known and not evolution.changes(table, schema, {})
    except ConfigError:  # it is of a narrower type than the table has by now
        return False


def _add(table: Table, data: Sequence[bytes], properties: dict[str, str]) -> None:
    """Append files: they are put where the library would write their rows."""
    from ml_tasks.io.transaction import Transaction

    with ThreadPoolExecutor(len(data)) as pool:
        files = list(pool.map(partial(_copied, table), data))
    with (
        Transaction(table) as tx,
        tx.update_snapshot(snapshot_properties=properties).merge_append() as append,
    ):
        for file in files:
            append.append_data_file(file)


def _copied(table: Table, data: bytes) -> DataFile:
    from pyiceberg.io.pyarrow import parquet_file_to_data_file

    copy = table.location_provider().new_data_location(f"{uuid.uuid4()}.parquet")
    with table.io.new_output(copy).create() as stream:
        stream.write(data)
    return parquet_file_to_data_file(table.io, table.metadata, copy)
