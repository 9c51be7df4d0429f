"""CSV files under a dated glob; values stay text until the schema is enforced."""

from __future__ import annotations

import gzip
import io
import zlib
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from ml_tasks.sources import files
from ml_tasks.sources.delivery import BrokenRow, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyarrow import csv as pacsv

    from ml_tasks.config import Environment, Source
    from ml_tasks.result import Window


GZIP = b"\x1f\x8b"


class Params(files.FileParams):
    """Where the CSV files lie, packed by gzip or not; the first line names the columns."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    null_values: tuple[str, ...] = ("",)
    """Texts that stand for null."""


def read(
    source: Source,  # noqa: ARG001 - all readers share one signature
    params: Params,
    window: Window,
    environment: Environment,
) -> Iterator[Delivery]:
    """Give the files that may hold rows of the window."""
    return files.read(params.path, window, environment, partial(decode, params=params))


def place(params: Params, environment: Environment) -> str:
    """Say where the files are looked for."""
    return files.glob_of(params.path, environment)


def decode(data: bytes, params: Params) -> tuple[tuple[pa.RecordBatch, ...], tuple[BrokenRow, ...]]:
    """Read one CSV file: rows as text, and the lines that are no rows."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    broken: list[BrokenRow] = []

    def keep(row: pacsv.InvalidRow) -> str:
        reason = f"line has {row.actual_columns} values, wanted {row.expected_columns}"
        broken.append(BrokenRow(row.number or 0, row.text, reason))
        return "skip"

    data = plain(data)
    if not data.strip():
        raise pa.ArrowInvalid("the file is empty, wanted a first line that names the columns")
    header = data.split(b"\n", 1)[0].decode().removeprefix("\ufeff").strip("\r")
    names = pacsv.read_csv(
        io.BytesIO(f"{header}\n".encode()),
        parse_options=pacsv.ParseOptions(delimiter=params.delimiter),
    ).column_names
    table = pacsv.read_csv(
        io.BytesIO(data),
        # Line numbers of broken lines are known only to the reader of one thread.
        read_options=pacsv.ReadOptions(use_threads=False),
        parse_options=pacsv.ParseOptions(
            delimiter=params.delimiter, invalid_row_handler=keep, newlines_in_values=True
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=list(params.null_values),
            strings_can_be_null=True,
        ),
    )
    return tuple(table.to_batches()), tuple(broken)


def plain(data: bytes) -> bytes:
    """Unpack what is packed by gzip, and make sure that it is UTF-8 text.

    Raises:
        OSError: It is packed and broken.
        UnicodeDecodeError: It is no UTF-8 text; the parser says so of whole lines alone.
    """
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error) as fault:
            raise OSError(f"packed by gzip, and broken: {fault}") from fault
    data.decode()
    return data
