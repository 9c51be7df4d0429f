"""Which type each column of a file has, as the sources will read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.sources.schema import typed

if TYPE_CHECKING:
    import polars as pl

FIT = 0.99
"""Share of values that must be readable as a type; the rows of the others go to quarantine."""
NULLS = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "?", "-")


def null_words(frame: pl.DataFrame) -> tuple[str, ...]:
    """Give the words that stand for null: without them a column of text is numbers or times."""
    import polars as pl

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
    names = [name.lower() for name in frame.columns]
    for name in frame.columns:
        if not name.strip() or names.count(name.lower()) > 1 or re.fullmatch(r"\^.*\$", name):
            raise ConfigError(
                f"column {name!r}: wanted a name that is not empty, no pattern, and not that of "
                f"another column of {frame.columns}; rename it in the data"
            )
    return {name: _kind(frame, name) for name in frame.columns}


def _kind(frame: pl.DataFrame, name: str) -> str:
    import polars as pl

    column, dtype = frame[name], frame.schema[name]
    if dtype == pl.String:
        kind = _of_text(frame, name)
    elif dtype.is_integer():
        kind = "int64"
    elif dtype.is_numeric():
        kind = "float64"
    elif dtype == pl.Boolean:
        kind = "bool"
    elif dtype in (pl.Datetime, pl.Date):
        kind = "timestamp"
    elif dtype in (pl.Categorical, pl.Enum, pl.Time):
        kind = "string"
    else:
        raise ConfigError(
            f"column {name!r}: came {dtype}, wanted texts, numbers, bools or times; make columns "
            "of its parts, or leave it out of the data"
        )
    whole = column.null_count() == 0 and (not dtype.is_float() or bool(column.is_finite().all()))
    return kind if whole else f"{kind}?"


def _of_text(frame: pl.DataFrame, name: str) -> str:
    values = frame.select(frame[name].drop_nulls())
    if not values.height:
        return "string"
    coded = values[name].str.contains(r"^[+-]?0\d").any()  # 007 is a name, not a number
    for kind in ("bool", "timestamp") if coded else ("int64", "float64", "bool", "timestamp"):
        read = values.select(typed(values, name, kind))[name]
        if read.null_count() <= (1 - FIT) * values.height:
            return kind
    return "string"
