"""The join of entity rows with what was known of them at the time of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

_VISIBLE = "__visible"


def join(
    entities: pl.DataFrame,
    features: pl.DataFrame,
    *,
    keys: Sequence[str],
    asked_at: str,
    ttl: timedelta | None,
) -> pl.DataFrame:
    """Give each entity row the newest event that had happened and was known when it was asked.

    A row of `features` is visible from the later of its `event_time` and its `known_at`. In that
    order, only rows that set a new latest event time of their key can ever be the answer (an equal
    one is a correction): among those, an as-of join is exact, also when corrections come late.

    Args:
        entities: One row an ask: the keys and `asked_at`; other columns are kept.
        features: Keys, `event_time`, `known_at` and feature columns.
        keys: Names of the key columns; a null key finds nothing.
        asked_at: Name of the column of ask times.
        ttl: How old an event may be; `None` for any age.

    Returns:
        `entities` in its order and with all its rows, and the feature columns.
    """
    names = [n for n in features.columns if n not in (*keys, "event_time", "known_at")]
    order = [*keys, _VISIBLE, "event_time", "known_at"]
    leading = (
        features.with_columns(pl.max_horizontal("event_time", "known_at").alias(_VISIBLE))
        .sort(order)
        .filter(pl.col("event_time") >= pl.col("event_time").cum_max().over(keys))
        .unique([*keys, _VISIBLE], keep="last", maintain_order=True)
        .sort(_VISIBLE)
        .drop("known_at")
        .rename({"event_time": "__event_time"})
    )
    found = (
        entities.with_row_index("__row")
        .sort(asked_at)
        .join_asof(
            leading,
            left_on=asked_at,
            right_on=_VISIBLE,
            by=list(keys),
            strategy="backward",
            check_sortedness=False,
        )
        .sort("__row")
    )
    if ttl is not None:
        fresh = pl.col("__event_time") >= pl.col(asked_at) - ttl
        found = found.with_columns(pl.when(fresh).then(pl.col(n)).alias(n) for n in names)
    return found.select(*entities.columns, *names)
