"""Parquet files under a dated glob."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ml_tasks.io.content import plain
from ml_tasks.sources import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ml_tasks.config import Environment, Source
    from ml_tasks.result import Window
    from ml_tasks.sources.delivery import BrokenRow, Delivery


class Params(files.FileParams):
    """Where the Parquet files lie."""


def read(
    source: Source,  # noqa: ARG001 - all readers share one signature
    params: Params,
    window: Window,
    environment: Environment,
) -> Iterator[Delivery]:
    """Give the files that may hold rows of the window."""
    return files.read(params.path, window, environment, decode)


def place(params: Params, environment: Environment) -> str:
    """Say where the files are looked for."""
    return files.glob_of(params.path, environment)


def decode(data: bytes) -> tuple[tuple[pa.RecordBatch, ...], tuple[BrokenRow, ...]]:
    """Read one Parquet file's rows.

    Raises:
        ArrowInvalid: It is no Parquet, or the names of its columns are no table's.
    """
    import pyarrow.parquet as pq

    files.named(pq.read_schema(io.BytesIO(data)).names)
    return tuple(plain(pq.read_table(io.BytesIO(data))).to_batches()), ()
