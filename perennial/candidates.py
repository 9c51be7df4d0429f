"""Which columns a new product learns from, and why each other one is left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ml_tasks.config.references import OWN_COLUMNS
from ml_tasks.errors import ConfigError
from perennial.guesses import NAMED
from perennial.kinds import FIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from perennial.guesses import Asked

TEXTS = 1_000
"""With more different texts a column is no category."""
COPY = 0.9999
"""With a larger correlation a column is the label itself."""
SEGMENTS = 12


def features(
    frame: pl.DataFrame,
    kinds: Mapping[str, str],
    asked: Asked,
    labels: pl.Series,
    *,
    event: str,
    key: Sequence[str],
) -> tuple[list[str], dict[str, str]]:
    """Give the columns to learn from, and why each other one is left out.

    Raises:
        ConfigError: None is left.
    """
    why = {
        name: _useless(frame, name, kind, labels)
        for name, kind in kinds.items()
        if name not in (asked.column, event)
    }
    kept = [name for name, reason in why.items() if not reason]
    # What is left out by it may tell of another one.
    while told := _told_by(frame, kept, [name for name, reason in why.items() if reason], key):
        why |= told
        kept = [name for name in kept if name not in told]
    left_out = {name: reason for name, reason in why.items() if reason}
    if not kept:
        raise ConfigError(f"no column is left to learn from: {left_out}")
    return kept, left_out


def _useless(frame: pl.DataFrame, name: str, kind: str, labels: pl.Series) -> str:
    import polars as pl

    column = frame[name]
    different = column.drop_nulls().n_unique()
    if kind.startswith("timestamp"):
        return "a time; make numbers of it"
    if name in OWN_COLUMNS:
        return "the training set has a column of that name; rename it"
    if different < 2:
        return "always the same" if different else "no row has a value"
    whole = not kind.startswith("float64")
    if whole and NAMED.fullmatch(name) and different > FIT * frame.height:
        return "it names a row"
    if kind.startswith("string"):
        return f"{different} different texts" if different > min(TEXTS, frame.height / 2) else ""
    if whole and different == frame.height and _in_order(column):
        return "it numbers the rows"
    both = pl.DataFrame({"a": column.cast(pl.Float64), "b": labels}).drop_nulls()
    copy = both.select(pl.corr("a", "b")).item() if both.height > 2 else None
    said = copy is not None and math.isfinite(copy) and abs(copy) > COPY
    return "it is the label itself" if said else ""


def _in_order(column: pl.Series) -> bool:
    return column.is_sorted() or column.is_sorted(descending=True)


def _told_by(
    frame: pl.DataFrame, kept: Sequence[str], left_out: Sequence[str], key: Sequence[str]
) -> dict[str, str]:
    """Say which columns are a function of one that is left out.

    The proof against leaks holds such a column to be an outcome, so no version of the product
    would ever be promoted; it is asked here as it asks there. A key is no outcome: what is in its
    order may be a trend, and only what is one with it names rows, too.
    """
    import numpy as np
    import polars as pl

    from ml_tasks.prover.alone import SAMPLE, copied
    from ml_tasks.prover.cells import numbers

    rng = np.random.default_rng(0)
    some = frame.sample(min(SAMPLE, frame.height), seed=0).select(pl.exclude(pl.String)).to_arrow()
    outcomes = {name: numbers(some[name]) for name in left_out if name in some.column_names}
    ranked = {name for name in outcomes if not frame.schema[name].is_temporal()} - set(key)
    found = {
        name: copied(numbers(some[name]), outcomes, ranked, rng)
        for name in kept
        if name in some.column_names
    }
    return {
        name: f"a function of {source!r}, which is left out"
        for name, source in found.items()
        if source
    }


def is_segment(column: pl.Series) -> bool:
    """Tell whether a column parts the rows into a few kinds."""
    import polars as pl

    return column.dtype == pl.String and 1 < column.drop_nulls().n_unique() <= SEGMENTS
