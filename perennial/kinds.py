"""Which type each column of a file has, as the sources will read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_tasks.config.pipeline import NO_NAME, alike
from ml_tasks.errors import ConfigError
from ml_tasks.sources.schema import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

FIT = 0.99
"""Share of values that must be readable as a type; the rows of the others go to quarantine."""
LONGEST = 255
"""Characters of a name; YAML takes no key of more than 1024, quotes and escapes included."""
INT64 = 2**63
NULLS = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "?", "-")


def null_words(frame: pl.DataFrame) -> tuple[str, ...]:
    """Give the words that stand for null: without them a column of text is numbers or times.

    Raises:
        ConfigError: A column's name is one that no table can have.
    """
    import polars as pl

    _hold_names(frame.columns)
    found: set[str] = set()
    for name, dtype in frame.schema.items():
        if dtype != pl.String:
            continue
        present = [word for word in NULLS if (frame[name] == word).any()]
        rest = frame.select(pl.col(name).filter(~pl.col(name).is_in(present)))
        if present and rest.height and not _kind(rest, name).startswith("string"):
            found |= set(present)
    return tuple(word for word in NULLS if word in found)


def of(frame: pl.DataFrame) -> dict[str, str]:
    """Give each column's type; `?` where a value is missing.

    Raises:
        ConfigError: A column's name or type is one that no table can have.
    """
    _hold_names(frame.columns)
    return {name: _kind(frame, name) for name in frame.columns}


def _hold_names(names: Sequence[str]) -> None:
    """Refuse names that polars, DuckDB, which knows no case, or YAML take for something else."""
    for name in names:
        if not name.strip() or len(name) > LONGEST or NO_NAME.fullmatch(name):
            raise ConfigError(
                f"column {name[:LONGEST]!r}: wanted a name that is not empty, no pattern, as * and "
                f"^…$ are, without control characters, of at most {LONGEST} characters; rename it "
                "in the data"
            )
    if twice := alike(names):
        raise ConfigError(
            f"columns {twice}: came names that differ in their case alone, wanted others: SQL "
            "takes them for one; rename them in the data"
        )


def _kind(frame: pl.DataFrame, name: str) -> str:
    import polars as pl

    column, dtype = frame[name], frame.schema[name]
    if dtype == pl.String:
        kind = _of_text(frame, name)
    elif dtype.is_integer():
        kind = "int64" if _in_64_bits(column) else "string"
    elif dtype.is_numeric():
        kind = "float64"
    elif dtype == pl.Boolean:
        kind = "bool"
    elif dtype in (pl.Datetime, pl.Date):
        kind = "timestamp"
    elif dtype in (pl.Categorical, pl.Enum, pl.Time, pl.Null):  # what never had a value fits any
        kind = "string"
    else:
        raise ConfigError(
            f"column {name!r}: came {dtype}, wanted texts, numbers, bools or times; make columns "
            "of its parts, or leave it out of the data"
        )
    whole = column.null_count() == 0 and (not dtype.is_float() or bool(column.is_finite().all()))
    return kind if whole else f"{kind}?"


def _in_64_bits(column: pl.Series) -> bool:
    """Tell whether whole numbers fit; those of an unsigned hash do not, and it counts nothing."""
    ends: list[Any] = [end for end in (column.min(), column.max()) if end is not None]
    return all(-INT64 <= end < INT64 for end in ends)


def _of_text(frame: pl.DataFrame, name: str) -> str:
    values = frame.select(frame[name].drop_nulls())
    if not values.height:
        return "string"
    # 007 and 0x1f are names, not numbers.
    coded = values[name].str.contains(r"^[+-]?0[\dxX]").any()
    # As a number with a point a hash would lose its last digits.
    long = values[name].str.contains(r"^[+-]?\d{19,}$").any()
    numbers = [] if coded else ["int64"] if long else ["int64", "float64"]
    for kind in (*numbers, "bool", "timestamp"):
        read = values.select(typed(values, name, kind))[name]
        if read.null_count() <= (1 - FIT) * values.height:
            return kind
    return "string"
