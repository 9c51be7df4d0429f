"""The join of entity rows with what was known of them at the time of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

_VISIBLE, _EVENT, _AT = "__visible", "__event_time", "__at"


def join(
    entities: pl.DataFrame,
    features: pl.DataFrame,
    *,
    keys: Sequence[str],
    asked_at: str,
    ttl: timedelta | None,
) -> pl.DataFrame:
    """Give each entity row the newest event that had happened and was known when it was asked.

    Keys and times alone are sorted and joined; the features are fetched once, by the place of the
    row that was found.

    Args:
        entities: One row an ask: the keys and `asked_at`; other columns are kept.
        features: Keys, `event_time`, `known_at` and feature columns.
        keys: Names of the key columns; they are compared as `features` has them, and a null key
            finds nothing.
        asked_at: Name of the column of ask times.
        ttl: How old an event may be; `None` for any age.

    Returns:
        `entities` in its order and with all its rows, and the feature columns.
    """
    names = [n for n in features.columns if n not in (*keys, "event_time", "known_at")]
    found = (
        entities.select(*(pl.col(key).cast(features.schema[key]) for key in keys), asked_at)
        .with_row_index("__row")
        .sort(asked_at)
        .join_asof(
            _leading(features, keys),
            left_on=asked_at,
            right_on=_VISIBLE,
            by=list(keys),
            strategy="backward",
            check_sortedness=False,
        )
        .sort("__row")
    )
    place = pl.col(_AT)
    if ttl is not None:
        place = pl.when(pl.col(_EVENT) >= pl.col(asked_at) - ttl).then(place)
    places = found.select(place).to_series()
    return entities.hstack(features.select(pl.col(names).gather(places)))


def _leading(features: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Give the rows that can be an answer: keys, times and place, in the order of visibility.

    A row is visible from the later of its `event_time` and its `known_at`. In that order, only
    rows that set a new latest event time of their key can ever be the answer (an equal one is a
    correction): among those, an as-of join is exact, also when corrections come late. Of rows that
    are visible at once it takes the last: the newest event, in its newest version.
    """
    rows = features.select(
        *keys,
        pl.max_horizontal("event_time", "known_at").alias(_VISIBLE),
        pl.col("event_time").alias(_EVENT),
        "known_at",
    ).with_row_index(_AT)
    # Stable sorts by one column after the other take a third of the time of one by all of them.
    rows = rows.sort("known_at").sort(_EVENT, maintain_order=True)
    if rows.select((pl.col(_VISIBLE) > pl.col(_EVENT)).any()).item():
        rows = rows.sort(_VISIBLE, maintain_order=True).filter(
            pl.col(_EVENT) >= pl.col(_EVENT).cum_max().over(keys)
        )
    return rows.drop("known_at")
