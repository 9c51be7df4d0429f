"""Hashes of logical content: equal rows give equal hashes, however they are stored."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_tasks.io.order import PART, encoded, filled, is_text, order

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from typing_extensions import Buffer

EVENT_TIME = "event_time"
"""The column by which rows are sorted first, where there is one."""
TOGETHER = 2
"""Columns that are put in order at once."""


def bytes_hash(data: Buffer) -> str:
    """Give the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def content_hash(table: pa.Table, *, without: Collection[str] = (), in_order: bool = False) -> str:
    """Give the SHA-256 of a table's rows as a multiset.

    The order of rows and columns, chunking, field metadata, nullability flags, how texts are held
    and columns without any value do not count; names, types and values of the others and repeated
    rows do. So a column that is added, and says nothing of these rows, changes nothing.

    Args:
        table: Columns of truth values, numbers, times and texts.
        without: Columns that do not count, such as lineage.
        in_order: The rows are as `arranged` gives them.
    """
    names = sorted(
        name
        for name in table.column_names
        if name not in without and table[name].null_count < table.num_rows
    )
    table = table.select(names)
    digest = hashlib.sha256()
    told = [(one.name, str(_plain(one.type)), table[one.name].null_count) for one in table.schema]
    digest.update(json.dumps([table.num_rows, told]).encode())
    by = None
    if not in_order:
        table = _common(plain(table))
        by = order(table, _first(table)).rows
    with ThreadPoolExecutor(TOGETHER) as pool:
        for part in pool.map(partial(_column_hash, by=by), table.columns):
            digest.update(part)
    return digest.hexdigest()


def arranged(table: pa.Table) -> pa.Table:
    """Give rows in the order in which they are hashed.

    Args:
        table: Columns of truth values, numbers, times in us and texts.
    """
    return _gathered(table, order(table, _first(table)).rows)


def arranged_once(table: pa.Table, key: Sequence[str]) -> pa.Table | None:
    """Give rows as `arranged` does where no two have the same key; else `None`."""
    found = order(table, _first(table), key)
    return None if found.repeated else _gathered(table, found.rows)


def plain(table: pa.Table) -> pa.Table:
    """Give texts as plain strings, without metadata: how they are held depends on who made them."""
    import pyarrow as pa

    fields = [pa.field(one.name, _plain(one.type)) for one in table.schema]
    return table.cast(pa.schema(fields))


def coded(table: pa.Table) -> pa.Table:
    """Give texts as dictionaries: they are sorted, hashed and written sooner than plain ones."""
    import pyarrow as pa

    held = [
        column.cast(pa.string()).dictionary_encode()
        if is_text(column.type) and not pa.types.is_dictionary(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(held, names=table.column_names)


def _plain(held: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(held):
        return _plain(held.value_type)
    return pa.string() if is_text(held) else held


def _first(table: pa.Table) -> list[str]:
    """Give columns as rows are sorted by them: those first that tell most rows apart at least cost.

    That is `event_time`, then what is never null, then texts, whole numbers and times.
    """
    import pyarrow as pa

    def place(name: str) -> tuple[object, ...]:
        kind, holes = table.schema.field(name).type, table[name].null_count > 0
        kinds = (is_text(kind), pa.types.is_integer(kind), pa.types.is_timestamp(kind))
        return name != EVENT_TIME, holes, *(not one for one in kinds), name

    return sorted(table.column_names, key=place)


def _gathered(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    by = pa.array(rows)

    def taken(column: pa.ChunkedArray) -> pa.Array:
        # They are numbers of this very table.
        return pc.take(column.combine_chunks(), by, boundscheck=False)

    with ThreadPoolExecutor(TOGETHER) as pool:
        return pa.table(list(pool.map(taken, table.columns)), schema=table.schema)


def _common(table: pa.Table) -> pa.Table:
    """Give times in units and numbers in kinds that are counted in; the others become of those."""
    import polars as pl
    import pyarrow as pa

    def known(kind: pa.DataType) -> bool:
        plain = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
        wide = pa.types.is_float32(kind) or pa.types.is_float64(kind)
        return bool(plain or wide or (pa.types.is_timestamp(kind) and kind.unit != "s"))

    if all(map(known, table.schema.types)):
        return table
    return plain(pl.DataFrame(pl.from_arrow(table)).to_arrow())


def _column_hash(column: pa.ChunkedArray, by: NDArray[np.int64] | None) -> bytes:
    """Hash validity and values in order; where a value is null the bytes beneath do not count."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    def taken(values: NDArray[Any]) -> NDArray[Any]:
        return values if by is None else np.take(values, by)

    digest = hashlib.sha256()
    if column.null_count:
        digest.update(np.packbits(taken(column.is_valid().to_numpy())).data)
    if not is_text(column.type):
        values = column if by is None else pa.chunked_array([taken(filled(column))])
        for at in range(0, len(column), PART):
            digest.update(_one_of_each(filled(values.slice(at, PART))).data)
        return digest.digest()
    codes, texts = encoded(column)
    codes = taken(codes)
    # Texts count in the order in which they first come, whatever else the dictionary has.
    known: list[int] = []
    places = np.full(len(texts) + 1, -1, np.int32)
    for at in range(0, len(codes), PART):
        part = codes[at : at + PART]
        told = np.take(places, part, mode="wrap")
        fresh = part[(told < 0) & (part >= 0)]
        if len(fresh):
            new = pc.unique(pa.array(fresh)).to_numpy()  # in the order in which they come
            places[new] = np.arange(len(known), len(known) + len(new))
            known += new.tolist()
            told = np.take(places, part, mode="wrap")
        digest.update(told.data)
    texts = texts.take(pa.array(known)).cast(pa.large_string())
    digest.update(np.diff(np.frombuffer(texts.buffers()[1], np.int64, len(known) + 1)).data)
    digest.update(texts.buffers()[2] or b"")
    return digest.digest()


def _one_of_each(values: NDArray[Any]) -> NDArray[Any]:
    """Give zeros without a sign, and one NaN for all: they are sorted as one, too."""
    import numpy as np

    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), np.array(np.nan, values.dtype), values + 0)
