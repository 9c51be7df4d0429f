"""CSV files under a dated glob: values as they were declared, or text where one is not."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from ml_tasks.sources import files
from ml_tasks.sources.delivery import BrokenRow, Delivery
from ml_tasks.sources.schema import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from pyarrow import csv as pacsv

    from ml_tasks.config import Environment, Source
    from ml_tasks.result import Window


GZIP = b"\x1f\x8b"
BLOCK = 4 * 2**20
"""Bytes that a core parses at once; no row may have more."""
AHEAD = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*[\r\n])*")
"""A byte order mark and blank lines, before the line that names the columns."""


class Params(files.FileParams):
    """Where the CSV files lie, packed by gzip or not; the first line names the columns."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    null_values: tuple[str, ...] = ("",)
    """Texts that stand for null."""

    @field_validator("delimiter")
    @classmethod
    def _parts_values(cls, delimiter: str) -> str:
        if not delimiter.isascii() or delimiter in '\r\n"':
            raise ValueError("one ASCII character that is neither a quote nor the end of a line")
        return delimiter


def read(
    source: Source,
    params: Params,
    window: Window,
    environment: Environment,
) -> Iterator[Delivery]:
    """Give the files that may hold rows of the window."""
    types = {name: arrow_type(kind) for name, kind in source.columns.items()}
    types |= {old: types[new] for new, old in source.renamed_from.items()}
    return files.read(
        params.path,
        window,
        environment,
        partial(decode, params=params),
        as_declared=partial(decode_as, params=params, types=types),
    )


def place(params: Params, environment: Environment) -> str:
    """Say where the files are looked for."""
    return files.glob_of(params.path, environment)


def decode_as(
    file: pa.NativeFile, params: Params, types: Mapping[str, pa.DataType]
) -> tuple[tuple[pa.RecordBatch, ...], tuple[BrokenRow, ...]]:
    """Read one CSV file on all cores with the types of its columns; what is not named is text.

    Texts are dictionaries, block by block: sorted, hashed and written sooner than plain ones.

    Raises:
        ArrowInvalid: A value does not fit, a line is no row, a value or a name holds a line's end,
            or the names are no table's.
        OSError: It is packed and broken.
    """
    import pyarrow as pa
    from pyarrow import csv as pacsv

    head = file.read(BLOCK)
    if head.startswith(GZIP):
        head = unpacked(head + file.read())
        file = pa.BufferReader(head)
    parse = pacsv.ParseOptions(delimiter=params.delimiter)
    first = next((line for line in io.BytesIO(head) if line.strip()), b"")
    wanted = {**dict.fromkeys(names(first, params), pa.string()), **types}
    file.seek(0)
    text = pa.dictionary(pa.int32(), pa.string())
    table = pacsv.read_csv(
        file,
        read_options=pacsv.ReadOptions(block_size=BLOCK),
        parse_options=parse,
        convert_options=pacsv.ConvertOptions(
            column_types={n: text if kind == pa.string() else kind for n, kind in wanted.items()},
            null_values=list(params.null_values),
            strings_can_be_null=True,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        ),
    )
    return tuple(table.to_batches()), ()


def decode(data: bytes, params: Params) -> tuple[tuple[pa.RecordBatch, ...], tuple[BrokenRow, ...]]:
    """Read one CSV file: rows as text, and the lines that are no rows.

    Raises:
        ArrowInvalid: It has no line that names the columns, or the names are no table's.
        OSError: It is packed and broken.
        UnicodeDecodeError: It is no UTF-8 text.
    """
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
    table = pacsv.read_csv(
        io.BytesIO(data),
        # Line numbers of broken lines are known only to the reader of one thread.
        read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK),
        parse_options=pacsv.ParseOptions(
            delimiter=params.delimiter, invalid_row_handler=keep, newlines_in_values=True
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names(data, params), pa.string()),
            null_values=list(params.null_values),
            strings_can_be_null=True,
        ),
    )
    return tuple(table.to_batches()), tuple(broken)


def names(data: bytes, params: Params) -> list[str]:
    """Read the columns' names at the head of a CSV file.

    Args:
        data: Text whose lines have ends; the names may hold some, too.
        params: Say what stands between the names.

    Raises:
        ArrowInvalid: No line names columns, a name comes twice, or one has a zero byte.
    """
    import pyarrow as pa
    from pyarrow import csv as pacsv

    try:
        reader = pacsv.open_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=pacsv.ParseOptions(
                delimiter=params.delimiter,
                invalid_row_handler=lambda _: "skip",
                newlines_in_values=True,
            ),
        )
    except pa.ArrowInvalid as fault:
        raise pa.ArrowInvalid(
            f"no line names the columns, wanted one of up to {BLOCK} bytes, its quotes closed"
        ) from fault
    return files.named(reader.schema.names)


def plain(data: bytes) -> bytes:
    """Give UTF-8 text, unpacked, from the line on that names the columns; the last one has an end.

    Raises:
        OSError: It is packed and broken.
        UnicodeDecodeError: It is no UTF-8 text; the parser says so of whole lines alone.
    """
    data = unpacked(data)
    data.decode()
    data = AHEAD.sub(b"", data, count=1)
    if data.endswith(b"\n") or data.count(b'"') % 2:
        return data  # in quotes that are not closed an end would be the value's
    return data + b"\n"  # Arrow takes a first line without an end for none


def unpacked(data: bytes) -> bytes:
    """Unpack what is packed by gzip.

    Raises:
        OSError: It is packed and broken.
    """
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error) as fault:
            raise OSError(f"packed by gzip, and broken: {fault}") from fault
    return data
