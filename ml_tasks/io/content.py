"""Hashes of logical content: equal rows give equal hashes, however they are stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa


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
    import polars as pl

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
    frame = pl.DataFrame(pl.from_arrow(table)) if names else pl.DataFrame()
    frame = frame.sort(names, nulls_last=False) if names else frame
    for name in names:
        _update(digest, frame.get_column(name).rechunk().to_arrow())
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


def _update(digest: hashlib._Hash, column: pa.Array) -> None:
    """Feed validity and values; where a value is null the bytes beneath do not count."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    digest.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        digest.update(np.ascontiguousarray(values).tobytes())
        return
    text = pc.fill_null(column.cast(pa.large_string()), "")
    digest.update(pc.binary_length(text).to_numpy(zero_copy_only=False).tobytes())
    digest.update("".join(text.to_pylist()).encode())
