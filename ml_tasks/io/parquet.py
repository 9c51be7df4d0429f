"""Tables as Parquet objects: equal tables give equal bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ml_tasks.io import objects
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.order import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

BATCH = 2**16
"""Values that a column is written by."""
MANY = 2**17
"""Rows from which on they are written as two objects: fewer are written before that pays."""
MORE = "-more.parquet"
"""How the second one's address ends: a name that is told by its task has no hyphen."""


def read(uri: str, *, digest: str | None = None) -> pa.Table:
    """Read an object as a table.

    Args:
        uri: Where it lies.
        digest: SHA-256 that its bytes must have.

    Raises:
        FileNotFoundError: There is none.
        BackendError: The store did not answer.
        RejectedError: Its bytes are others.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pa.BufferReader(objects.read_bytes(uri, digest))
    return pq.read_table(file)


def read_parts(parts: Mapping[str, str | None]) -> pa.Table:
    """Read objects as one table, as `read` does each.

    Args:
        parts: Where they lie, in the order of the rows, and the SHA-256 that their bytes must have.
    """
    import pyarrow as pa

    return pa.concat_tables([read(uri, digest=digest) for uri, digest in parts.items()])


def write(uri: str, table: pa.Table) -> str:
    """Write a table as an object, zstd-compressed.

    However texts are held, plain ones are read.

    Returns:
        The SHA-256 of its bytes.

    Raises:
        BackendError: The store refused: no room, no permission, no answer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        coerce_timestamps="us",
        # Times seldom come again: a dictionary of them is made in vain.
        use_dictionary=[one.name for one in table.schema if not pa.types.is_timestamp(one.type)],
        # Of texts each file has nearly all (`lake.PROPERTIES`).
        write_statistics=[one.name for one in table.schema if not is_text(one.type)],
        write_batch_size=BATCH,
        store_schema=False,
    )
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(bytes_hash, data := buffer.getvalue())
        objects.write_bytes(uri, data)
    return digest.result()


def write_parts(uri: str, table: pa.Table) -> dict[str, str]:
    """Write a table as `write` does, many rows as two objects at once.

    Returns:
        Where they lie, in the order of the rows, and the SHA-256 of their bytes.
    """
    if table.num_rows < MANY:
        return {uri: write(uri, table)}
    half = table.num_rows // 2
    parts = {uri: table.slice(0, half), uri.removesuffix(".parquet") + MORE: table.slice(half)}
    with ThreadPoolExecutor(len(parts)) as pool:
        return dict(zip(parts, pool.map(write, parts, parts.values()), strict=True))
