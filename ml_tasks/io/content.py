"""Hashes of logical content: equal rows give equal hashes, however they are stored."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from ml_tasks.io.order import encoded, filled, order

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from typing_extensions import Buffer

TOGETHER = 2
"""Columns that are put in order at once."""


def bytes_hash(data: bytes) -> str:
    """Give the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def content_hash(table: pa.Table, *, without: Collection[str] = ()) -> str:
    """Give the SHA-256 of a table's rows as a multiset.

    The order of rows and columns, chunking, field metadata, nullability flags, how texts are held
    and columns without any value do not count; names, types and values of the others and repeated
    rows do. So a column that is added, and says nothing of these rows, changes nothing.

    Args:
        table: Any table of plain columns.
        without: Columns that do not count, such as lineage.
    """
    names = sorted(
        name
        for name in table.column_names
        if name not in without and table[name].null_count < table.num_rows
    )
    rows, table = table.num_rows, plain(table.select(names))
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}:{table.schema.field(name).type}\n".encode())
    digest.update(f"{rows}\n".encode())
    table = _common(table)
    by = order(table, names).rows
    with ThreadPoolExecutor(TOGETHER) as pool:
        for first in range(0, len(names), TOGETHER):
            columns = [table[name] for name in names[first : first + TOGETHER]]
            for part in chain(*pool.map(partial(_parts, by=by), columns)):
                digest.update(part)
    return digest.hexdigest()


def plain(table: pa.Table) -> pa.Table:
    """Give texts as plain strings, without metadata: how they are held depends on who made them."""
    import pyarrow as pa

    def kind(held: pa.DataType) -> pa.DataType:
        if pa.types.is_dictionary(held):
            return kind(held.value_type)
        text = pa.types.is_large_string(held) or pa.types.is_string_view(held)
        return pa.string() if text else held

    fields = [pa.field(f.name, kind(f.type)) for f in table.schema]
    return table.cast(pa.schema(fields))


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


def _parts(column: pa.ChunkedArray, by: NDArray[np.int64]) -> list[Buffer]:
    """Give validity and values in order; where a value is null the bytes beneath do not count."""
    import numpy as np
    import pyarrow as pa

    valid = (
        np.take(column.is_valid().to_numpy(), by) if column.null_count else np.ones(len(by), bool)
    )
    known = np.packbits(valid).data
    if not pa.types.is_string(column.type):
        return [known, np.take(filled(column), by).data]
    codes, texts = encoded(column)
    codes = np.take(codes, by)
    texts = pa.concat_arrays([texts.cast(pa.large_string()), pa.array([""], pa.large_string())])
    lengths = np.diff(np.frombuffer(texts.buffers()[1], np.int64))
    values = texts.take(pa.array(codes % len(texts))).buffers()[2]
    return [known, np.take(lengths, codes).data, values]
