"""Holds what a source delivered against the schema that it promised."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.io.content import coded, plain
from ml_tasks.io.order import repeated

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ml_tasks.config import Source
    from ml_tasks.result import Window
    from ml_tasks.sources.delivery import Delivery

BLANKS = " \t"
"""Around a number or a time they do not count."""
HEX = {"int32": r"^0[xX]([0-9a-fA-F]{1,8})$", "int64": r"^0[xX]([0-9a-fA-F]{1,16})$"}
"""Whole numbers that Arrow reads as the bits of their type."""
MOMENT = (
    r"^(\d{4})[-/.](\d\d?)[-/.](\d\d?)"
    r"(?:[T ]\s*(\d\d?)(?:(:\d\d?|\d\d)(?:(:\d\d?|\d\d)(\.\d+)?)?)?"
    r"\s*([Zz]|[+\-\u2212]\d\d:?(?:\d\d)?)?)?$"
)
"""ISO 8601, the year first: 04/01/2024 is two days, by who reads it. Its groups are year, month,
day, hour, minute, second, fraction and offset."""
TIMES = ("event_time", "known_at", "corrected_at")
"""Columns that a raw table has whatever its source declares."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One thing that does not fit: a row, a line, a column or a whole file."""

    uri: str
    reason: str
    row: str
    """The thing as JSON or as the text that came."""


def arrow_type(column_type: str) -> pa.DataType:
    """Give the Arrow type of a declared column type."""
    import pyarrow as pa

    return {
        "string": pa.string(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "bool": pa.bool_(),
    }[column_type.removesuffix("?")]


def raw_schema(source: Source) -> pa.Schema:
    """Give the schema of a source's raw table."""
    import pyarrow as pa

    kinds = {name: arrow_type(kind) for name, kind in source.columns.items()}
    # A source's own event time may bear that name.
    return pa.schema(kinds | dict.fromkeys(TIMES, pa.timestamp("us", "UTC")))


def enforce(
    source: Source, delivery: Delivery, window: Window
) -> tuple[pl.DataFrame, list[Rejected]]:
    """Split a delivery into typed rows of the window and what does not fit.

    Rows of other windows are neither, good or bad, unless the delivery's address promises a range
    that they lie outside of.

    Returns:
        Rows with the declared columns, and the rejected things with their reasons.
    """
    import polars as pl

    whole = fitting(source, delivery, window)
    if whole is not None and not repeated(whole, source.key):
        return pl.DataFrame(pl.from_arrow(plain(whole))), []
    return _parted(source, delivery.as_text() if delivery.as_text else delivery, window)


def _parted(
    source: Source, delivery: Delivery, window: Window
) -> tuple[pl.DataFrame, list[Rejected]]:
    """Look at each value of a delivery."""
    import polars as pl

    rejected = [Rejected(delivery.uri, b.reason, b.text) for b in delivery.broken]
    if delivery.fault is not None:
        rejected.append(Rejected(delivery.uri, f"file cannot be read: {delivery.fault}", ""))
    if not delivery.batches:
        return _empty(source), rejected
    # A database's answer may have a column that is null, a number or a text batch by batch.
    parts = [pl.DataFrame(pl.from_arrow(batch)) for batch in delivery.batches]
    raw = renamed(source, pl.concat(parts, how="vertical_relaxed"))
    for name in raw.columns:
        if name not in source.columns:
            sample = json.dumps(shown(raw[name].head(5)).to_list(), default=str)
            rejected.append(Rejected(delivery.uri, f"column {name!r} is not declared", sample))
    missing = [n for n in source.columns if n not in raw.columns]
    raw = raw.with_columns(pl.lit(None).alias(name) for name in missing)
    rows = raw.select(typed(raw, name, kind) for name, kind in source.columns.items())
    faults = [_fault(raw[name], kind) for name, kind in source.columns.items()]
    faults += [_outside(source, delivery), _repeated(source)]
    reason = rows.select(pl.coalesce(faults)).to_series()
    time = rows[source.event_time]
    inside = (time >= window.start) & (time < window.end)
    other = ~inside
    if delivery.covers is not None:
        other &= (time >= delivery.covers.start) & (time < delivery.covers.end)
    bad = reason.is_not_null() & ~other.fill_null(value=False)
    told = pl.DataFrame([shown(column) for column in raw.filter(bad)])
    for why, came in zip(reason.filter(bad), told.iter_rows(named=True), strict=True):
        rejected.append(Rejected(delivery.uri, why, json.dumps(came, default=str)))
    return rows.filter(reason.is_null() & inside), rejected


def renamed(source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    """Give columns the names of today: what was delivered before has their former ones."""
    former = {old: new for new, old in source.renamed_from.items() if new not in rows.columns}
    return rows.rename(former, strict=False)


def shown(column: pl.Series) -> pl.Series:
    """Give values as they can be shown: Python has no times of the year 10000."""
    import polars as pl

    dated = isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date
    return column.cast(pl.String) if dated else column


def fitting(source: Source, delivery: Delivery, window: Window) -> pa.Table | None:
    """Give a delivery's rows of the window where nothing is amiss with any of it, else `None`.

    Whether a key comes twice is not looked at. Texts are dictionaries, each text once.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    alike = len({batch.schema.to_string() for batch in delivery.batches}) == 1
    if delivery.fault or delivery.broken or not alike:
        return None
    raw = pa.Table.from_batches(delivery.batches)
    wanted = pa.schema({name: arrow_type(kind) for name, kind in source.columns.items()})
    former = {old: new for new, old in source.renamed_from.items() if new not in raw.column_names}
    raw = raw.rename_columns([former.get(name, name) for name in raw.column_names])
    if sorted(raw.column_names) != sorted(wanted.names) or not raw.num_rows:
        return None
    rows = raw.select(wanted.names)
    time = rows[source.event_time]
    if plain(rows.slice(0, 0)).schema.types != wanted.types or time.null_count:
        return None
    ends = pc.min_max(time)

    def within(span: Window) -> bool:
        # As numbers: Python has no times of the year 0, nor of 10000.
        start, end = (pa.scalar(bound, time.type).value for bound in (span.start, span.end))
        return bool(start <= ends["min"].value and ends["max"].value < end)

    if delivery.covers is not None and not within(delivery.covers):
        return None
    if not within(window):
        if source.event_time not in source.key:
            return None  # of a key that comes twice one row may be another window's
        inside = pc.and_(pc.greater_equal(time, window.start), pc.less(time, window.end))
        rows = plain(rows).filter(inside)  # texts of other windows stay in no dictionary
    fits = all(_fits(rows[name], kind) for name, kind in source.columns.items())
    return coded(rows) if fits else None


def _fits(column: pa.ChunkedArray, kind: str) -> bool:
    import pyarrow.compute as pc

    if column.null_count and not kind.endswith("?"):
        return False
    return not kind.startswith("float") or pc.all(pc.is_finite(column)).as_py() is not False


def _empty(source: Source) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa

    fields = [pa.field(n, arrow_type(t)) for n, t in source.columns.items()]
    return pl.DataFrame(pl.from_arrow(pa.schema(fields).empty_table()))


def typed(raw: pl.DataFrame, name: str, kind: str) -> pl.Expr:
    """Read a column as its declared type; null where that fails."""
    import polars as pl

    came, wanted = raw.schema[name], kind.removesuffix("?")
    column = pl.col(name)
    if wanted == "string":
        return column.cast(pl.String, strict=False)
    if wanted.startswith("float"):
        column = column.str.strip_chars(BLANKS) if came == pl.String else column
        number = column.cast(pl.Float32 if wanted == "float32" else pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(name)
    if wanted.startswith("int"):
        column = column.str.strip_chars(BLANKS) if came == pl.String else column
        number = column.cast(pl.Int32 if wanted == "int32" else pl.Int64, strict=False)
        if came == pl.String:
            return pl.coalesce(number, _of_bits(column, wanted))
        if came.is_float():
            return pl.when(number.cast(pl.Float64) == column).then(number).alias(name)
        return number
    if wanted == "bool":
        if came == pl.String:
            return column.str.to_lowercase().replace_strict(
                {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
            )
        return column.cast(pl.Boolean, strict=False)
    if came == pl.String:
        return _moment(column).alias(name)
    time = column.cast(pl.Datetime("us", getattr(came, "time_zone", None)), strict=False)
    if getattr(came, "time_zone", None) is None:
        return time.dt.replace_time_zone("UTC")
    return time.dt.convert_time_zone("UTC")


def _of_bits(text: pl.Expr, wanted: str) -> pl.Expr:
    import polars as pl

    bits = pl.UInt32 if wanted == "int32" else pl.UInt64
    digits = text.str.extract(HEX[wanted])
    return digits.str.to_integer(base=16, dtype=bits, strict=False).reinterpret(signed=True)


def _moment(text: pl.Expr) -> pl.Expr:
    """Read each text by itself; of a column polars takes all by the form of the first one."""
    import polars as pl

    part = text.str.strip_chars(BLANKS).str.extract_groups(MOMENT).struct
    *day, hour, minute, second, fraction, offset = (part[place] for place in range(8))
    clock = (one.str.strip_chars(":").fill_null("00") for one in (hour, minute, second))
    ends = fraction.fill_null(""), offset.fill_null("Z")
    whole = pl.format("{}-{}-{}T{}:{}:{}{}{}", *day, *clock, *ends)
    return whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False)


def _fault(came: pl.Series, kind: str) -> pl.Expr:
    """Say what is wrong with values, beside those that were read of them."""
    import polars as pl

    # As values, not as a column: no name that is declared can be theirs.
    name, raw = came.name, pl.lit(came)
    typed = pl.col(name)
    shown = raw.cast(pl.String, strict=False).fill_null("?").str.slice(0, 60)
    unread = pl.when(raw.is_not_null() & typed.is_null()).then(
        pl.format("column '{}': came '{}', wanted {}", pl.lit(name), shown, pl.lit(kind))
    )
    if kind.endswith("?"):
        return unread
    return unread.when(typed.is_null()).then(
        pl.lit(f"column '{name}': came nothing, wanted {kind}")
    )


def _outside(source: Source, delivery: Delivery) -> pl.Expr:
    import polars as pl

    if delivery.covers is None:
        return pl.lit(None, pl.String)
    time = pl.col(source.event_time)
    within = (time >= delivery.covers.start) & (time < delivery.covers.end)
    reason = f"column '{source.event_time}': outside {delivery.covers}, which the address promises"
    return pl.when(~within).then(pl.lit(reason))


def _repeated(source: Source) -> pl.Expr:
    import polars as pl

    reason = f"key {list(source.key)} came before in the same file"
    return pl.when(pl.struct(source.key).is_first_distinct().not_()).then(pl.lit(reason))
